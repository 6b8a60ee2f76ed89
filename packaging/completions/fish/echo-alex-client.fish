# fish completion for echo-alex-client(1)

complete -c echo-alex-client -fa '(__fish_print_hostnames)'
complete -c echo-alex-client -s 4 -d 'Use IPv4 alone'
complete -c echo-alex-client -s 6 -d 'Use IPv6 alone'
complete -c echo-alex-client -l timeout -d 'To connect, to shake hands, for an echo (10s)' -x
complete -c echo-alex-client -s q -l quiet -d 'Say nothing but errors'
complete -c echo-alex-client -l tls -d 'TLS: the certificate and its name are verified'
complete -c echo-alex-client -l ca -d 'Trust this CA, not those of the system' \
    -xka '(__fish_complete_suffix .pem)'
complete -c echo-alex-client -l name -d 'The name in the certificate, if it is not HOST' \
    -xa '(__fish_print_hostnames)'
complete -c echo-alex-client -l cert -d 'Show this certificate if the server asks for one' \
    -xka '(__fish_complete_suffix .crt)'
complete -c echo-alex-client -l key -d 'The key of that certificate' \
    -xka '(__fish_complete_suffix .key)'
complete -c echo-alex-client -l fingerprint -d 'Trust this one certificate, whoever signed it' -x
complete -c echo-alex-client -l insecure -d 'TRUST ANYBODY: who answers is printed, not verified'
complete -c echo-alex-client -l show-certificate -d 'Print the certificates of the server'
complete -c echo-alex-client -l verify -d 'Compare what comes back with what was sent'
complete -c echo-alex-client -l ping -d 'Time the echo'
complete -c echo-alex-client -s c -l count -d 'ping: how many' -x
complete -c echo-alex-client -s i -l interval -d 'ping: time from one to the next (1s)' -x
complete -c echo-alex-client -s s -d 'ping: bytes of each (64)' -x
complete -c echo-alex-client -l reconnect -d 'ping: a new connection for each'
complete -c echo-alex-client -l bench -d 'Measure messages'
complete -c echo-alex-client -l connections -d 'bench: sessions at once (1)' -x
complete -c echo-alex-client -l size -d 'bench: bytes of a message (64)' -x
complete -c echo-alex-client -l depth -d 'bench: messages on their way in a session (1)' -x
complete -c echo-alex-client -l duration -d 'bench: how long to measure (10s)' -x
complete -c echo-alex-client -l handshakes -d 'Measure TLS handshakes'
complete -c echo-alex-client -l json -d 'Figures of a ping or bench as JSON'
complete -c echo-alex-client -s h -l help -d 'Show the options'
complete -c echo-alex-client -s V -l version -d 'Show the version'
