export { type ImatrixOptions, type ImatrixReport, imatrixText, makeImatrix } from './make-imatrix.js'
