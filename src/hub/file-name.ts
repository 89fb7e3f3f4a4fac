/** Names that Windows keeps for devices, whatever their ending. */
const devices = /^(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)/i

/**
 * Why a path of a listing, with "/" between folders, cannot be a file below a folder of this system; undefined where it can.
 */
export function fileNameProblem(path: string, platform: NodeJS.Platform = process.platform): string | undefined {
  const segments = path.split('/')
  if (path === '' || segments.includes('')) return 'it has an empty name'
  if (segments.some((segment) => segment === '.' || segment === '..')) return 'it points outside of its folder'
  // On other systems it would be a file name, until the folder is copied to Windows.
  if (path.includes('\\') || /^[A-Za-z]:/.test(path)) return 'it is a Windows path'
  // oxlint-disable-next-line no-control-regex -- control characters have no place in a file name
  if (/[\u0000-\u001F\u007F]/.test(path)) return 'it has control characters'
  if (path.length > 1024 || segments.some((segment) => Buffer.byteLength(segment) > 255)) return 'it is too long for a file name'
  if (platform !== 'win32') return undefined
  if (/[:*?"<>|]/.test(path)) return 'it has characters that file names on Windows cannot have'
  return segments.some((segment) => devices.test(segment) || /[. ]$/.test(segment)) ? 'Windows has no such file names' : undefined
}
