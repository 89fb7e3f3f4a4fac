export { closeServer } from './close-server.js'
export { listen } from './listen.js'
export { isLoopback, isOwnHost } from './loopback.js'
