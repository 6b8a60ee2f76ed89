// An echo server that prints its port. Usage: node server.js CERTIFICATE KEY GROUP
const fs = require('fs'), tls = require('tls')
const [cert, key, ecdhCurve] = process.argv.slice(2)
const options = { cert: fs.readFileSync(cert), key: fs.readFileSync(key), ecdhCurve }
const server = tls.createServer(options, (stream) => stream.pipe(stream))
server.listen(0, '127.0.0.1', () => console.log(server.address().port))
