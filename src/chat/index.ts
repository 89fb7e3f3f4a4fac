export { type ChatOptions, type ChatSummary, chat } from './chat.js'
