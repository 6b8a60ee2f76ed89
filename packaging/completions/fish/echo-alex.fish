# fish completion for echo-alex(8)

complete -c echo-alex -f
complete -c echo-alex -s c -l config -d 'Read FILE, not /etc/echo-alex/echo-alex.toml' \
    -xka '(__fish_complete_suffix .toml)'
complete -c echo-alex -s t -l check -d 'Check the configuration and its certificates, and end'
complete -c echo-alex -l probe -d 'Ask the daemon on this machine whether it is ready, and end'
complete -c echo-alex -s h -l help -d 'Show the options'
complete -c echo-alex -s V -l version -d 'Show the version'
