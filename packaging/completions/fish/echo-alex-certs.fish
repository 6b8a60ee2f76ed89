# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_echo_alex_certs_global_optspecs
    string join \n h/help V/version
end

function __fish_echo_alex_certs_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_echo_alex_certs_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_echo_alex_certs_using_subcommand
    set -l cmd (__fish_echo_alex_certs_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c echo-alex-certs -n "__fish_echo_alex_certs_needs_command" -s h -l help -d 'Print help'
complete -c echo-alex-certs -n "__fish_echo_alex_certs_needs_command" -s V -l version -d 'Print version'
complete -c echo-alex-certs -n "__fish_echo_alex_certs_needs_command" -f -a "init" -d 'Make a CA, a server (alex) and a client (laptop)'
complete -c echo-alex-certs -n "__fish_echo_alex_certs_needs_command" -f -a "ca" -d 'Make a CA: signing.pem and signing.key'
complete -c echo-alex-certs -n "__fish_echo_alex_certs_needs_command" -f -a "server" -d 'Make a key and sign a certificate for a server'
complete -c echo-alex-certs -n "__fish_echo_alex_certs_needs_command" -f -a "client" -d 'Make a key and sign a certificate for a client'
complete -c echo-alex-certs -n "__fish_echo_alex_certs_needs_command" -f -a "show" -d 'Print what certificates say'
complete -c echo-alex-certs -n "__fish_echo_alex_certs_needs_command" -f -a "verify" -d 'Verify chain, dates, name, use and key'
complete -c echo-alex-certs -n "__fish_echo_alex_certs_needs_command" -f -a "tickets" -d 'Make the keys of session tickets, or rotate them'
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand init" -l name -d 'Name or address of the server; may be repeated' -r -f -a "(__fish_print_hostnames)"
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand init" -l days -d 'How many days the certificates are valid' -r -f
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand init" -l key-type -d 'Type of the key; ecdsa is on P-256' -r -f -a "ecdsa\t''
ed25519\t''"
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand init" -l dir -d 'Folder of the files' -r -f -a "(__fish_complete_directories)"
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand init" -l force -d 'Replace existing files'
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand init" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand init" -s V -l version -d 'Print version'
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand ca" -l days -d 'How many days the CA is valid' -r -f
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand ca" -l key-type -d 'Type of the key; ecdsa is on P-256' -r -f -a "ecdsa\t''
ed25519\t''"
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand ca" -l dir -d 'Folder of the files' -r -f -a "(__fish_complete_directories)"
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand ca" -l force -d 'Replace existing files'
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand ca" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand ca" -s V -l version -d 'Print version'
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand server" -l ip -d 'Address of the server; may be repeated' -r -f
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand server" -l file -d 'Call the files NAME.crt and NAME.key' -r -f
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand server" -l days -d 'How many days the certificate is valid' -r -f
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand server" -l key-type -d 'Type of the key; ecdsa is on P-256' -r -f -a "ecdsa\t''
ed25519\t''"
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand server" -l ca -d 'Certificate of the CA (DIR/signing.pem)' -r -F
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand server" -l dir -d 'Folder of the files' -r -f -a "(__fish_complete_directories)"
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand server" -l renew -d 'Keep the key, and sign a new certificate for it'
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand server" -l force -d 'Replace existing files'
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand server" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand server" -s V -l version -d 'Print version'
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand client" -l file -d 'Call the files NAME.crt and NAME.key' -r -f
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand client" -l days -d 'How many days the certificate is valid' -r -f
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand client" -l key-type -d 'Type of the key; ecdsa is on P-256' -r -f -a "ecdsa\t''
ed25519\t''"
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand client" -l ca -d 'Certificate of the CA (DIR/signing.pem)' -r -F
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand client" -l dir -d 'Folder of the files' -r -f -a "(__fish_complete_directories)"
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand client" -l renew -d 'Keep the key, and sign a new certificate for it'
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand client" -l force -d 'Replace existing files'
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand client" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand client" -s V -l version -d 'Print version'
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand show" -s V -l version -d 'Print version'
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand verify" -l name -d 'Name that clients use' -r -f -a "(__fish_print_hostnames)"
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand verify" -l key -d 'Key to compare with the certificate' -r -F
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand verify" -l ca -d 'Certificate of the CA (DIR/signing.pem)' -r -F
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand verify" -l dir -d 'Folder of the files' -r -f -a "(__fish_complete_directories)"
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand verify" -s V -l version -d 'Print version'
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand tickets" -l rotate -d 'Drop the oldest key, and add a new one at the end'
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand tickets" -l force -d 'Replace an existing file'
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand tickets" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c echo-alex-certs -n "__fish_echo_alex_certs_using_subcommand tickets" -s V -l version -d 'Print version'
