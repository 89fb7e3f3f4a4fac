import { openAsBlob } from 'node:fs'
import { MqError } from '../../errors/index.js'
import { findToken, hubEndpoint } from '../../hub/index.js'
import type { WithProgress } from '../../progress/index.js'
import type { Bundle } from './bundle.js'
import { cardMark } from './card.js'
import { type CopiedFiles, sumsWith } from './copy-files.js'

/**
 * Uploads a model to a repository of a Hugging Face hub, or of another registry ($HF_ENDPOINT), in one commit. The repository is
 * created if it does not exist; its card is kept unless mq wrote it.
 * @param repository `NAMESPACE/NAME`.
 * @throws MqError TOKEN_INVALID; TARGET_REFUSED where there is no token or the hub refuses it; INTERRUPTED.
 */
export async function* publishToHub(
  bundle: Bundle,
  repository: string,
  {
    endpoint = hubEndpoint(),
    signal,
  }: { readonly endpoint?: string | undefined; readonly signal?: AbortSignal | undefined } = {},
): WithProgress<CopiedFiles> {
  const { createRepo, downloadFile, uploadFilesWithProgress } = await import('@huggingface/hub')
  const hubUrl = endpoint.replace(/\/+$/, '')
  const refused = (problem: string): MqError => MqError.of('TARGET_REFUSED', { target: `${hubUrl}/${repository}`, problem })
  const accessToken = await findToken()
  if (accessToken === undefined) throw refused('there is no token; set HF_TOKEN')
  const repo = { type: 'model', name: repository } as const
  const hub = { repo, hubUrl, accessToken }
  try {
    await createRepo(hub).catch((error: { statusCode?: number }) => {
      if (error.statusCode !== 409) throw error
    })
    // null where there is no such file, or no commit yet.
    const textOf = async (path: string): Promise<string | undefined> => {
      const found = await downloadFile({ ...hub, path }).catch((error: { statusCode?: number }) => {
        if (error.statusCode === 404) return null
        throw error
      })
      return await found?.text()
    }
    const present = await textOf('README.md')
    const isOwn = present !== undefined && !present.includes(cardMark)
    const all = [...bundle.files, ...bundle.attachments]
    const sums = sumsWith((await textOf('SHA256SUMS')) ?? '', all)
    const files = await Promise.all(
      all.map(async (file) => ({
        path: file.name,
        content: 'text' in file ? new Blob([file.text]) : await openAsBlob(file.path),
      })),
    )
    const texts = [
      { path: 'SHA256SUMS', content: new Blob([sums]) },
      ...(isOwn ? [] : [{ path: 'README.md', content: new Blob([bundle.card]) }]),
    ]
    const total = bundle.files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
    const sizes = new Map(bundle.files.map(({ name, sizeBytes }) => [name, sizeBytes]))
    const sent = new Map<string, number>()
    const upload = uploadFilesWithProgress({
      ...hub,
      files: [...files, ...texts],
      commitTitle: `Publish ${bundle.model.tag} with mq`,
      // Registries of mq accept Git LFS only; the hub accepts both.
      useXet: false,
      ...(signal !== undefined && { abortSignal: signal }),
    })
    for await (const event of upload) {
      if (event.event !== 'fileProgress' || event.state !== 'uploading') continue
      sent.set(event.path, event.progress * (sizes.get(event.path) ?? 0))
      const done = [...sent.values()].reduce((sum, bytes) => sum + bytes, 0)
      yield { stage: 'publish', done: Math.min(total, Math.round(done)), total, unit: 'bytes', item: event.path }
    }
    return { folder: `${hubUrl}/${repository}`, files: [...all.map(({ name }) => name), ...texts.map(({ path }) => path)] }
  } catch (error) {
    if (error instanceof MqError || signal?.aborted === true) throw error
    const { statusCode, message } = error as { statusCode?: number; message?: string }
    throw MqError.of(
      'TARGET_REFUSED',
      {
        target: `${hubUrl}/${repository}`,
        problem: `${statusCode === undefined ? '' : `HTTP ${statusCode}, `}${(message ?? 'no answer')
          .replaceAll(accessToken, '***')
          .replaceAll(/[^\x20-\x7E]+/g, ' ')
          .slice(0, 200)}`,
      },
      { cause: error },
    )
  }
}
