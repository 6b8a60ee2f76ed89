# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_echo_alex_client_global_optspecs
    string join \n verify raw 4 6 timeout= q/quiet udp tls ca= name= cert= key= fingerprint= insecure show-certificate tls-version= cipher-suite= group= alpn= sni= no-sni h/help V/version
end

function __fish_echo_alex_client_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_echo_alex_client_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_echo_alex_client_using_subcommand
    set -l cmd (__fish_echo_alex_client_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c echo-alex-client -n "__fish_echo_alex_client_needs_command" -l timeout -d 'How long to wait for the server' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_needs_command" -l ca -d 'Trust the CAs in FILE, not those of the system' -r -F
complete -c echo-alex-client -n "__fish_echo_alex_client_needs_command" -l name -d 'The name in the certificate, if it is not HOST' -r -f -a "(__fish_print_hostnames)"
complete -c echo-alex-client -n "__fish_echo_alex_client_needs_command" -l cert -d 'Client certificate, if the server asks for one' -r -F
complete -c echo-alex-client -n "__fish_echo_alex_client_needs_command" -l key -d 'Key of the client certificate' -r -F
complete -c echo-alex-client -n "__fish_echo_alex_client_needs_command" -l fingerprint -d 'Trust only the certificate with this fingerprint' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_needs_command" -l tls-version -d 'Offer only this version of TLS: 1.2 or 1.3' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_needs_command" -l cipher-suite -d 'Offer only this cipher suite, such as AES_128_GCM_SHA256' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_needs_command" -l group -d 'Offer only this key exchange group, such as X25519' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_needs_command" -l alpn -d 'Offer this application protocol (ALPN)' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_needs_command" -l sni -d 'Send this name of the server, and not the one in the certificate (SNI)' -r -f -a "(__fish_print_hostnames)"
complete -c echo-alex-client -n "__fish_echo_alex_client_needs_command" -l verify -d 'Compare what comes back with what was sent'
complete -c echo-alex-client -n "__fish_echo_alex_client_needs_command" -l raw -d 'Let the server control the terminal'
complete -c echo-alex-client -n "__fish_echo_alex_client_needs_command" -s 4 -d 'Use only IPv4'
complete -c echo-alex-client -n "__fish_echo_alex_client_needs_command" -s 6 -d 'Use only IPv6'
complete -c echo-alex-client -n "__fish_echo_alex_client_needs_command" -s q -l quiet -d 'Print nothing but errors and results'
complete -c echo-alex-client -n "__fish_echo_alex_client_needs_command" -l udp -d 'Speak UDP, not TCP (talk, ping and bench)'
complete -c echo-alex-client -n "__fish_echo_alex_client_needs_command" -l tls -d 'Speak TLS, and verify the server\'s certificate'
complete -c echo-alex-client -n "__fish_echo_alex_client_needs_command" -l insecure -d 'TRUST ANY SERVER: the certificate is not verified'
complete -c echo-alex-client -n "__fish_echo_alex_client_needs_command" -l show-certificate -d 'Print the server\'s certificates'
complete -c echo-alex-client -n "__fish_echo_alex_client_needs_command" -l no-sni -d 'Send no name of the server'
complete -c echo-alex-client -n "__fish_echo_alex_client_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c echo-alex-client -n "__fish_echo_alex_client_needs_command" -s V -l version -d 'Print version'
complete -c echo-alex-client -n "__fish_echo_alex_client_needs_command" -f -a "talk" -d 'Send standard input and print what comes back (the default)'
complete -c echo-alex-client -n "__fish_echo_alex_client_needs_command" -f -a "ping" -d 'Time one echo after the other'
complete -c echo-alex-client -n "__fish_echo_alex_client_needs_command" -f -a "bench" -d 'Measure throughput and latency under load'
complete -c echo-alex-client -n "__fish_echo_alex_client_needs_command" -f -a "explain" -d 'Explain a connection step by step'
complete -c echo-alex-client -n "__fish_echo_alex_client_needs_command" -f -a "handshakes" -d 'Measure TLS handshakes'
complete -c echo-alex-client -n "__fish_echo_alex_client_needs_command" -f -a "idle" -d 'Find out how long a silent session lives'
complete -c echo-alex-client -n "__fish_echo_alex_client_needs_command" -f -a "both" -d 'Compare what both ends see of a connection'
complete -c echo-alex-client -n "__fish_echo_alex_client_needs_command" -f -a "mtu" -d 'Find out how large a datagram can be on the way to a server'
complete -c echo-alex-client -n "__fish_echo_alex_client_needs_command" -f -a "compare" -d 'Measure UDP, TCP and TLS beside each other'
complete -c echo-alex-client -n "__fish_echo_alex_client_needs_command" -f -a "hold" -d 'Hold many sessions through failovers, and count what is lost'
complete -c echo-alex-client -n "__fish_echo_alex_client_needs_command" -f -a "diff" -d 'Show what changed between two measurements'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand talk" -l timeout -d 'How long to wait for the server' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand talk" -l ca -d 'Trust the CAs in FILE, not those of the system' -r -F
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand talk" -l name -d 'The name in the certificate, if it is not HOST' -r -f -a "(__fish_print_hostnames)"
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand talk" -l cert -d 'Client certificate, if the server asks for one' -r -F
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand talk" -l key -d 'Key of the client certificate' -r -F
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand talk" -l fingerprint -d 'Trust only the certificate with this fingerprint' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand talk" -l tls-version -d 'Offer only this version of TLS: 1.2 or 1.3' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand talk" -l cipher-suite -d 'Offer only this cipher suite, such as AES_128_GCM_SHA256' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand talk" -l group -d 'Offer only this key exchange group, such as X25519' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand talk" -l alpn -d 'Offer this application protocol (ALPN)' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand talk" -l sni -d 'Send this name of the server, and not the one in the certificate (SNI)' -r -f -a "(__fish_print_hostnames)"
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand talk" -l verify -d 'Compare what comes back with what was sent'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand talk" -l raw -d 'Let the server control the terminal'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand talk" -s 4 -d 'Use only IPv4'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand talk" -s 6 -d 'Use only IPv6'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand talk" -s q -l quiet -d 'Print nothing but errors and results'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand talk" -l udp -d 'Speak UDP, not TCP (talk, ping and bench)'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand talk" -l tls -d 'Speak TLS, and verify the server\'s certificate'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand talk" -l insecure -d 'TRUST ANY SERVER: the certificate is not verified'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand talk" -l show-certificate -d 'Print the server\'s certificates'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand talk" -l no-sni -d 'Send no name of the server'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand talk" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand talk" -s V -l version -d 'Print version'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand ping" -s c -l count -d 'Stop after this many messages' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand ping" -s i -l interval -d 'Time from one message to the next' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand ping" -s s -d 'Length of a message' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand ping" -s w -l deadline -d 'Stop after this time' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand ping" -l timeout -d 'How long to wait for the server' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand ping" -l ca -d 'Trust the CAs in FILE, not those of the system' -r -F
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand ping" -l name -d 'The name in the certificate, if it is not HOST' -r -f -a "(__fish_print_hostnames)"
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand ping" -l cert -d 'Client certificate, if the server asks for one' -r -F
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand ping" -l key -d 'Key of the client certificate' -r -F
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand ping" -l fingerprint -d 'Trust only the certificate with this fingerprint' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand ping" -l tls-version -d 'Offer only this version of TLS: 1.2 or 1.3' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand ping" -l cipher-suite -d 'Offer only this cipher suite, such as AES_128_GCM_SHA256' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand ping" -l group -d 'Offer only this key exchange group, such as X25519' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand ping" -l alpn -d 'Offer this application protocol (ALPN)' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand ping" -l sni -d 'Send this name of the server, and not the one in the certificate (SNI)' -r -f -a "(__fish_print_hostnames)"
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand ping" -l reconnect -d 'Open a new connection for each message'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand ping" -s a -l bell -d 'Ring the bell of the terminal at each echo'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand ping" -l json -d 'Print the results as JSON'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand ping" -s 4 -d 'Use only IPv4'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand ping" -s 6 -d 'Use only IPv6'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand ping" -s q -l quiet -d 'Print nothing but errors and results'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand ping" -l udp -d 'Speak UDP, not TCP (talk, ping and bench)'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand ping" -l tls -d 'Speak TLS, and verify the server\'s certificate'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand ping" -l insecure -d 'TRUST ANY SERVER: the certificate is not verified'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand ping" -l show-certificate -d 'Print the server\'s certificates'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand ping" -l no-sni -d 'Send no name of the server'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand ping" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand ping" -s V -l version -d 'Print version'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand bench" -l connections -d 'Number of sessions at the same time' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand bench" -l size -d 'Length of a message' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand bench" -l depth -d 'Messages in flight in each session' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand bench" -l rate -d 'Send so many messages a second, whether or not echoes come (open loop)' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand bench" -l duration -d 'How long to measure' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand bench" -l report -d 'Write the report with diagrams to FILE, as HTML' -r -F
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand bench" -l discard-port -d 'A port of HOST that discards what it gets (RFC 863), to load the way to the server alone' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand bench" -l chargen-port -d 'A port of HOST that generates characters (RFC 864), to load the way back alone' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand bench" -l timeout -d 'How long to wait for the server' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand bench" -l ca -d 'Trust the CAs in FILE, not those of the system' -r -F
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand bench" -l name -d 'The name in the certificate, if it is not HOST' -r -f -a "(__fish_print_hostnames)"
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand bench" -l cert -d 'Client certificate, if the server asks for one' -r -F
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand bench" -l key -d 'Key of the client certificate' -r -F
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand bench" -l fingerprint -d 'Trust only the certificate with this fingerprint' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand bench" -l tls-version -d 'Offer only this version of TLS: 1.2 or 1.3' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand bench" -l cipher-suite -d 'Offer only this cipher suite, such as AES_128_GCM_SHA256' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand bench" -l group -d 'Offer only this key exchange group, such as X25519' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand bench" -l alpn -d 'Offer this application protocol (ALPN)' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand bench" -l sni -d 'Send this name of the server, and not the one in the certificate (SNI)' -r -f -a "(__fish_print_hostnames)"
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand bench" -l loaded-latency -d 'Measure the latency of an idle and of a loaded line'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand bench" -l json -d 'Print the results as JSON'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand bench" -s 4 -d 'Use only IPv4'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand bench" -s 6 -d 'Use only IPv6'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand bench" -s q -l quiet -d 'Print nothing but errors and results'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand bench" -l udp -d 'Speak UDP, not TCP (talk, ping and bench)'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand bench" -l tls -d 'Speak TLS, and verify the server\'s certificate'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand bench" -l insecure -d 'TRUST ANY SERVER: the certificate is not verified'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand bench" -l show-certificate -d 'Print the server\'s certificates'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand bench" -l no-sni -d 'Send no name of the server'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand bench" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand bench" -s V -l version -d 'Print version'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand explain" -l format -d 'How to print it' -r -f -a "text\t''
json\t''
html\t''"
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand explain" -l pcapng -d 'Also write the bytes to FILE, as a capture with the secrets' -r -F
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand explain" -l timeout -d 'How long to wait for the server' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand explain" -l ca -d 'Trust the CAs in FILE, not those of the system' -r -F
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand explain" -l name -d 'The name in the certificate, if it is not HOST' -r -f -a "(__fish_print_hostnames)"
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand explain" -l cert -d 'Client certificate, if the server asks for one' -r -F
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand explain" -l key -d 'Key of the client certificate' -r -F
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand explain" -l fingerprint -d 'Trust only the certificate with this fingerprint' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand explain" -l tls-version -d 'Offer only this version of TLS: 1.2 or 1.3' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand explain" -l cipher-suite -d 'Offer only this cipher suite, such as AES_128_GCM_SHA256' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand explain" -l group -d 'Offer only this key exchange group, such as X25519' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand explain" -l alpn -d 'Offer this application protocol (ALPN)' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand explain" -l sni -d 'Send this name of the server, and not the one in the certificate (SNI)' -r -f -a "(__fish_print_hostnames)"
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand explain" -l resume -d 'Make another connection first, and explain how its session is resumed'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand explain" -l no-echo -d 'Do not send a message after the handshake'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand explain" -l report -d 'Also show what the server saw: HOST PORT is a report listener (service = "report")'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand explain" -s 4 -d 'Use only IPv4'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand explain" -s 6 -d 'Use only IPv6'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand explain" -s q -l quiet -d 'Print nothing but errors and results'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand explain" -l udp -d 'Speak UDP, not TCP (talk, ping and bench)'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand explain" -l tls -d 'Speak TLS, and verify the server\'s certificate'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand explain" -l insecure -d 'TRUST ANY SERVER: the certificate is not verified'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand explain" -l show-certificate -d 'Print the server\'s certificates'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand explain" -l no-sni -d 'Send no name of the server'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand explain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand explain" -s V -l version -d 'Print version'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand handshakes" -l duration -d 'How long to measure' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand handshakes" -l timeout -d 'How long to wait for the server' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand handshakes" -l ca -d 'Trust the CAs in FILE, not those of the system' -r -F
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand handshakes" -l name -d 'The name in the certificate, if it is not HOST' -r -f -a "(__fish_print_hostnames)"
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand handshakes" -l cert -d 'Client certificate, if the server asks for one' -r -F
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand handshakes" -l key -d 'Key of the client certificate' -r -F
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand handshakes" -l fingerprint -d 'Trust only the certificate with this fingerprint' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand handshakes" -l tls-version -d 'Offer only this version of TLS: 1.2 or 1.3' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand handshakes" -l cipher-suite -d 'Offer only this cipher suite, such as AES_128_GCM_SHA256' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand handshakes" -l group -d 'Offer only this key exchange group, such as X25519' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand handshakes" -l alpn -d 'Offer this application protocol (ALPN)' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand handshakes" -l sni -d 'Send this name of the server, and not the one in the certificate (SNI)' -r -f -a "(__fish_print_hostnames)"
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand handshakes" -l json -d 'Print the results as JSON'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand handshakes" -s 4 -d 'Use only IPv4'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand handshakes" -s 6 -d 'Use only IPv6'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand handshakes" -s q -l quiet -d 'Print nothing but errors and results'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand handshakes" -l udp -d 'Speak UDP, not TCP (talk, ping and bench)'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand handshakes" -l tls -d 'Speak TLS, and verify the server\'s certificate'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand handshakes" -l insecure -d 'TRUST ANY SERVER: the certificate is not verified'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand handshakes" -l show-certificate -d 'Print the server\'s certificates'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand handshakes" -l no-sni -d 'Send no name of the server'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand handshakes" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand handshakes" -s V -l version -d 'Print version'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand idle" -l max -d 'The longest silence to try' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand idle" -l timeout -d 'How long to wait for the server' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand idle" -l ca -d 'Trust the CAs in FILE, not those of the system' -r -F
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand idle" -l name -d 'The name in the certificate, if it is not HOST' -r -f -a "(__fish_print_hostnames)"
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand idle" -l cert -d 'Client certificate, if the server asks for one' -r -F
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand idle" -l key -d 'Key of the client certificate' -r -F
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand idle" -l fingerprint -d 'Trust only the certificate with this fingerprint' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand idle" -l tls-version -d 'Offer only this version of TLS: 1.2 or 1.3' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand idle" -l cipher-suite -d 'Offer only this cipher suite, such as AES_128_GCM_SHA256' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand idle" -l group -d 'Offer only this key exchange group, such as X25519' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand idle" -l alpn -d 'Offer this application protocol (ALPN)' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand idle" -l sni -d 'Send this name of the server, and not the one in the certificate (SNI)' -r -f -a "(__fish_print_hostnames)"
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand idle" -l json -d 'Print the results as JSON'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand idle" -s 4 -d 'Use only IPv4'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand idle" -s 6 -d 'Use only IPv6'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand idle" -s q -l quiet -d 'Print nothing but errors and results'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand idle" -l udp -d 'Speak UDP, not TCP (talk, ping and bench)'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand idle" -l tls -d 'Speak TLS, and verify the server\'s certificate'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand idle" -l insecure -d 'TRUST ANY SERVER: the certificate is not verified'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand idle" -l show-certificate -d 'Print the server\'s certificates'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand idle" -l no-sni -d 'Send no name of the server'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand idle" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand idle" -s V -l version -d 'Print version'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand both" -s c -l count -d 'Send so many messages' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand both" -l report-port -d 'The port of HOST that reports what came (service = "report")' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand both" -l timeout -d 'How long to wait for the server' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand both" -l ca -d 'Trust the CAs in FILE, not those of the system' -r -F
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand both" -l name -d 'The name in the certificate, if it is not HOST' -r -f -a "(__fish_print_hostnames)"
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand both" -l cert -d 'Client certificate, if the server asks for one' -r -F
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand both" -l key -d 'Key of the client certificate' -r -F
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand both" -l fingerprint -d 'Trust only the certificate with this fingerprint' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand both" -l tls-version -d 'Offer only this version of TLS: 1.2 or 1.3' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand both" -l cipher-suite -d 'Offer only this cipher suite, such as AES_128_GCM_SHA256' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand both" -l group -d 'Offer only this key exchange group, such as X25519' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand both" -l alpn -d 'Offer this application protocol (ALPN)' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand both" -l sni -d 'Send this name of the server, and not the one in the certificate (SNI)' -r -f -a "(__fish_print_hostnames)"
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand both" -l json -d 'Print the results as JSON'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand both" -s 4 -d 'Use only IPv4'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand both" -s 6 -d 'Use only IPv6'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand both" -s q -l quiet -d 'Print nothing but errors and results'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand both" -l udp -d 'Speak UDP, not TCP (talk, ping and bench)'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand both" -l tls -d 'Speak TLS, and verify the server\'s certificate'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand both" -l insecure -d 'TRUST ANY SERVER: the certificate is not verified'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand both" -l show-certificate -d 'Print the server\'s certificates'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand both" -l no-sni -d 'Send no name of the server'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand both" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand both" -s V -l version -d 'Print version'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand mtu" -l timeout -d 'How long to wait for the server' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand mtu" -l ca -d 'Trust the CAs in FILE, not those of the system' -r -F
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand mtu" -l name -d 'The name in the certificate, if it is not HOST' -r -f -a "(__fish_print_hostnames)"
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand mtu" -l cert -d 'Client certificate, if the server asks for one' -r -F
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand mtu" -l key -d 'Key of the client certificate' -r -F
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand mtu" -l fingerprint -d 'Trust only the certificate with this fingerprint' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand mtu" -l tls-version -d 'Offer only this version of TLS: 1.2 or 1.3' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand mtu" -l cipher-suite -d 'Offer only this cipher suite, such as AES_128_GCM_SHA256' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand mtu" -l group -d 'Offer only this key exchange group, such as X25519' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand mtu" -l alpn -d 'Offer this application protocol (ALPN)' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand mtu" -l sni -d 'Send this name of the server, and not the one in the certificate (SNI)' -r -f -a "(__fish_print_hostnames)"
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand mtu" -l json -d 'Print the results as JSON'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand mtu" -s 4 -d 'Use only IPv4'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand mtu" -s 6 -d 'Use only IPv6'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand mtu" -s q -l quiet -d 'Print nothing but errors and results'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand mtu" -l udp -d 'Speak UDP, not TCP (talk, ping and bench)'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand mtu" -l tls -d 'Speak TLS, and verify the server\'s certificate'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand mtu" -l insecure -d 'TRUST ANY SERVER: the certificate is not verified'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand mtu" -l show-certificate -d 'Print the server\'s certificates'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand mtu" -l no-sni -d 'Send no name of the server'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand mtu" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand mtu" -s V -l version -d 'Print version'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand compare" -s c -l count -d 'Send so many probes over each transport' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand compare" -s i -l interval -d 'Time from one probe to the next over the same transport' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand compare" -s s -d 'Length of a probe' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand compare" -l throughput -d 'After the probes, keep each transport full for TIME, to measure what it carries' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand compare" -l udp-port -d 'Port of the UDP echo [default: PORT]' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand compare" -l tls-port -d 'Port of the TLS echo' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand compare" -l report -d 'Write the comparison with the curves of all transports to FILE, as HTML' -r -F
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand compare" -l timeout -d 'How long to wait for the server' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand compare" -l ca -d 'Trust the CAs in FILE, not those of the system' -r -F
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand compare" -l name -d 'The name in the certificate, if it is not HOST' -r -f -a "(__fish_print_hostnames)"
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand compare" -l cert -d 'Client certificate, if the server asks for one' -r -F
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand compare" -l key -d 'Key of the client certificate' -r -F
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand compare" -l fingerprint -d 'Trust only the certificate with this fingerprint' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand compare" -l tls-version -d 'Offer only this version of TLS: 1.2 or 1.3' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand compare" -l cipher-suite -d 'Offer only this cipher suite, such as AES_128_GCM_SHA256' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand compare" -l group -d 'Offer only this key exchange group, such as X25519' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand compare" -l alpn -d 'Offer this application protocol (ALPN)' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand compare" -l sni -d 'Send this name of the server, and not the one in the certificate (SNI)' -r -f -a "(__fish_print_hostnames)"
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand compare" -l json -d 'Print the results as JSON'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand compare" -s 4 -d 'Use only IPv4'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand compare" -s 6 -d 'Use only IPv6'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand compare" -s q -l quiet -d 'Print nothing but errors and results'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand compare" -l udp -d 'Speak UDP, not TCP (talk, ping and bench)'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand compare" -l tls -d 'Speak TLS, and verify the server\'s certificate'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand compare" -l insecure -d 'TRUST ANY SERVER: the certificate is not verified'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand compare" -l show-certificate -d 'Print the server\'s certificates'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand compare" -l no-sni -d 'Send no name of the server'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand compare" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand compare" -s V -l version -d 'Print version'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand hold" -l sessions -d 'Number of sessions at the same time' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand hold" -s i -l interval -d 'Time from one message of a session to the next' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand hold" -s s -d 'Length of a message' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand hold" -l duration -d 'Stop after this time' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand hold" -l tls-port -d 'Let every other session speak TLS, at this port of HOST' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand hold" -l from -d 'Connect from these addresses of this machine, by turns' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand hold" -l timeout -d 'How long to wait for the server' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand hold" -l ca -d 'Trust the CAs in FILE, not those of the system' -r -F
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand hold" -l name -d 'The name in the certificate, if it is not HOST' -r -f -a "(__fish_print_hostnames)"
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand hold" -l cert -d 'Client certificate, if the server asks for one' -r -F
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand hold" -l key -d 'Key of the client certificate' -r -F
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand hold" -l fingerprint -d 'Trust only the certificate with this fingerprint' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand hold" -l tls-version -d 'Offer only this version of TLS: 1.2 or 1.3' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand hold" -l cipher-suite -d 'Offer only this cipher suite, such as AES_128_GCM_SHA256' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand hold" -l group -d 'Offer only this key exchange group, such as X25519' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand hold" -l alpn -d 'Offer this application protocol (ALPN)' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand hold" -l sni -d 'Send this name of the server, and not the one in the certificate (SNI)' -r -f -a "(__fish_print_hostnames)"
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand hold" -l json -d 'Print the results as JSON'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand hold" -s 4 -d 'Use only IPv4'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand hold" -s 6 -d 'Use only IPv6'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand hold" -s q -l quiet -d 'Print nothing but errors and results'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand hold" -l udp -d 'Speak UDP, not TCP (talk, ping and bench)'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand hold" -l tls -d 'Speak TLS, and verify the server\'s certificate'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand hold" -l insecure -d 'TRUST ANY SERVER: the certificate is not verified'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand hold" -l show-certificate -d 'Print the server\'s certificates'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand hold" -l no-sni -d 'Send no name of the server'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand hold" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand hold" -s V -l version -d 'Print version'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand diff" -l timeout -d 'How long to wait for the server' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand diff" -l ca -d 'Trust the CAs in FILE, not those of the system' -r -F
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand diff" -l name -d 'The name in the certificate, if it is not HOST' -r -f -a "(__fish_print_hostnames)"
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand diff" -l cert -d 'Client certificate, if the server asks for one' -r -F
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand diff" -l key -d 'Key of the client certificate' -r -F
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand diff" -l fingerprint -d 'Trust only the certificate with this fingerprint' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand diff" -l tls-version -d 'Offer only this version of TLS: 1.2 or 1.3' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand diff" -l cipher-suite -d 'Offer only this cipher suite, such as AES_128_GCM_SHA256' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand diff" -l group -d 'Offer only this key exchange group, such as X25519' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand diff" -l alpn -d 'Offer this application protocol (ALPN)' -r -f
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand diff" -l sni -d 'Send this name of the server, and not the one in the certificate (SNI)' -r -f -a "(__fish_print_hostnames)"
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand diff" -l force -d 'Compare runs that differ in their settings or conditions, too'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand diff" -s 4 -d 'Use only IPv4'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand diff" -s 6 -d 'Use only IPv6'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand diff" -s q -l quiet -d 'Print nothing but errors and results'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand diff" -l udp -d 'Speak UDP, not TCP (talk, ping and bench)'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand diff" -l tls -d 'Speak TLS, and verify the server\'s certificate'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand diff" -l insecure -d 'TRUST ANY SERVER: the certificate is not verified'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand diff" -l show-certificate -d 'Print the server\'s certificates'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand diff" -l no-sni -d 'Send no name of the server'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand diff" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c echo-alex-client -n "__fish_echo_alex_client_using_subcommand diff" -s V -l version -d 'Print version'
