# fish completion for echo-alex-certs(1)

set -l commands init ca server client show verify
set -l start "not __fish_seen_subcommand_from $commands"
set -l make '__fish_seen_subcommand_from init ca server client'
set -l sign '__fish_seen_subcommand_from server client'
set -l read '__fish_seen_subcommand_from show verify'

complete -c echo-alex-certs -f
complete -c echo-alex-certs -n $start -a init -d 'Make a CA, a server (alex) and a client (laptop) in one go'
complete -c echo-alex-certs -n $start -a ca -d 'Make a CA: signing.pem and signing.key'
complete -c echo-alex-certs -n $start -a server -d 'Make and sign alex.crt and alex.key for a server'
complete -c echo-alex-certs -n $start -a client -d 'Make and sign laptop.crt and laptop.key for a client'
complete -c echo-alex-certs -n $start -a show -d 'Print what certificates say'
complete -c echo-alex-certs -n $start -a verify -d 'Check chain, name and dates, and that the key fits'
complete -c echo-alex-certs -n $start -s h -l help -d 'Show the options'
complete -c echo-alex-certs -n $start -s V -l version -d 'Show the version'

complete -c echo-alex-certs -n "$make; or __fish_seen_subcommand_from verify" -l dir \
    -d 'Where the files are (certs)' -xa '(__fish_complete_directories)'
complete -c echo-alex-certs -n "$sign; or __fish_seen_subcommand_from verify" -l ca \
    -d 'The CA (DIR/signing.pem)' -xka '(__fish_complete_suffix .pem)'
complete -c echo-alex-certs -n '__fish_seen_subcommand_from init' -l name \
    -d 'A name or address of the server' -xa '(__fish_print_hostnames)'
complete -c echo-alex-certs -n '__fish_seen_subcommand_from verify' -l name \
    -d 'The name that clients use' -xa '(__fish_print_hostnames)'
complete -c echo-alex-certs -n '__fish_seen_subcommand_from server' -l ip -d 'An address of the server' -x
complete -c echo-alex-certs -n $sign -l file -d 'Call the files NAME.crt and NAME.key' -x
complete -c echo-alex-certs -n $sign -l renew -d 'Keep the key, sign anew'
complete -c echo-alex-certs -n $make -l days -d 'How long it is valid (365; a CA 3650)' -x
complete -c echo-alex-certs -n $make -l key-type -d 'Kind of key (ecdsa)' -xa 'ecdsa ed25519'
complete -c echo-alex-certs -n '__fish_seen_subcommand_from verify' -l key \
    -d 'The key (the .key beside the certificate)' -xka '(__fish_complete_suffix .key)'
complete -c echo-alex-certs -n $make -l force -d 'Replace files that are there'
complete -c echo-alex-certs -n $read -ka '(__fish_complete_suffix .crt)'
