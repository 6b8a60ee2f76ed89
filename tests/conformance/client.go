// Usage: client PORT CA 1.2|1.3
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"os"
	"time"
)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	pem, err := os.ReadFile(os.Args[2])
	check(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	version := map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}[os.Args[3]]
	config := &tls.Config{RootCAs: roots, MinVersion: version, MaxVersion: version,
		ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	for _, resumed := range []bool{false, true} {
		stream, err := tls.Dial("tcp", "localhost:"+os.Args[1], config)
		check(err)
		check(stream.SetDeadline(time.Now().Add(10 * time.Second)))
		for turn := 0; turn < 10; turn++ {
			sent := bytes.Repeat([]byte{byte(turn)}, 10_000)
			got := make([]byte, len(sent))
			_, err = stream.Write(sent)
			check(err)
			_, err = io.ReadFull(stream, got)
			check(err)
			if !bytes.Equal(got, sent) {
				log.Fatal("the echo differs")
			}
		}
		if stream.ConnectionState().DidResume != resumed {
			log.Fatal("resumed: ", !resumed)
		}
		check(stream.CloseWrite())
		// Without close_notify this is io.ErrUnexpectedEOF.
		if _, err = stream.Read(make([]byte, 1)); err != io.EOF {
			log.Fatal("no close_notify: ", err)
		}
		check(stream.Close())
	}
}
