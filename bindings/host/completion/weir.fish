# weir.fish - completion of the weir program for fish.

complete -c weir -s e -x -d 'run code'
complete -c weir -s l -x -d 'require into a global'
complete -c weir -s i -d 'a prompt'
complete -c weir -l timeout -x -d 'cancel everything after so many seconds'
complete -c weir -l virtual-time -d 'time stands still while anything can run'
complete -c weir -l seed -x -d 'order and chance on virtual time'
complete -c weir -l explore -x -d 'run in so many orders'
complete -c weir -s v -l version -d 'print the versions'
complete -c weir -s h -l help -d 'print a summary'
complete -c weir -n __fish_use_subcommand -a 'busted new build'
complete -c weir -l stats -d 'say at the end what was done'
