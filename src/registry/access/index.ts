export { type UrlSigner, urlSigner } from './signed-url.js'
export { acceptsWrites, createToken, findIdentity, listTokens, removeToken, type TokenInfo, type TokenRequest } from './tokens.js'
