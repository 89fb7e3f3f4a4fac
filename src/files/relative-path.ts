/**
 * Whether a path that came from elsewhere, with "/" between folders, stays inside the folder it is joined to, on any system: no empty,
 * "." or ".." segment, no drive, no backslash, no control character.
 */
export function isRelativePath(path: string): boolean {
  // oxlint-disable-next-line no-control-regex -- control characters have no place in a file name
  if (path.length > 1024 || /[\\:\u0000-\u001F]/.test(path)) return false
  return path.split('/').every((segment) => segment !== '' && segment !== '.' && segment !== '..')
}
