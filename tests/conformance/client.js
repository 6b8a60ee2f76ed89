// Usage: node client.js PORT CA 1.2|1.3 [GROUP]
const assert = require('assert'), fs = require('fs'), tls = require('tls')
const [port, ca, version, ecdhCurve] = process.argv.slice(2)
const sent = Buffer.alloc(100_000, '0123456789abcdef')

function echo(session, then) {
  const options = { port, host: 'localhost', ca: fs.readFileSync(ca), session, ecdhCurve,
    minVersion: 'TLSv' + version, maxVersion: 'TLSv' + version }
  let got = Buffer.alloc(0), ticket
  const stream = tls.connect(options, () => stream.write(sent))
  stream.setTimeout(10_000, () => assert.fail('timeout'))
  stream.on('session', (data) => { ticket = data })
  stream.on('data', (data) => {
    got = Buffer.concat([got, data])
    if (got.length === sent.length) stream.end()
  })
  stream.on('end', () => {
    assert(got.equals(sent))
    assert.strictEqual(stream.isSessionReused(), session !== undefined)
    then(ticket)
  })
}
echo(undefined, (ticket) => { assert(ticket); echo(ticket, () => process.exit()) })
