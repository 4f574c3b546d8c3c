import { createHmac, timingSafeEqual } from 'node:crypto'

const MAX_AGE_SECONDS = 300

// `body` is the Buffer that arrived; `headers` have lower-case names, as Node.js gives them.
export function isFromGateway(key, headers, body) {
  const timestamp = headers['x-constellation-timestamp'] ?? ''
  const hmac = createHmac('sha256', key).update(`${timestamp}.`).update(body)
  const expected = Buffer.from(`sha256=${hmac.digest('hex')}`)
  const signature = Buffer.from(headers['x-constellation-signature'] ?? '')
  const isSigned = signature.length === expected.length && timingSafeEqual(signature, expected)
  return isSigned && Math.abs(Date.now() / 1000 - Number(timestamp)) <= MAX_AGE_SECONDS
}
