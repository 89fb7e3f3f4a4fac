export { type HandedOver, serveWithLlamaServer } from './llama-server.js'
export { defaultEndpointPort, type EndpointOptions, type RunningEndpoint, startEndpoint } from './server.js'
