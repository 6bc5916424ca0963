# bash completion of sysrtctl; made by `sysrtctl completion bash`
_sysrtctl() {
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
	local command='' words='' options='' i
	COMPREPLY=()
	# bash takes --name=value apart
	if [[ $word == '=' ]]; then
		word=''
	elif [[ $before == '=' ]]; then
		before=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--socket | --timeout | --output | -o | --color)
			((i++))
			[[ ${COMP_WORDS[i]} == '=' ]] && ((i++))
			;;
		-*) ;;
		*)
			command=${COMP_WORDS[i]}
			break
			;;
		esac
	done
	case $command in
	'') words='status ping put get del ls count category watch changes import publish call methods session config reload log-level migrate shutdown version completion help' ;;
	status) words='' options='' ;;
	ping) words='' options='' ;;
	put) words='' options=' --name --if-seq --if-absent --ttl --expires-at --text' ;;
	get) words='' options=' --data' ;;
	del) words='' options=' --if-seq' ;;
	ls) words='' options=' --id --name --name-like --after --before --order --limit --offset --cursor --all' ;;
	count) words='' options=' --id' ;;
	category) words='list' options='' ;;
	watch) words='' options=' --since --state --id --topic' ;;
	changes) words='' options=' --since --id --limit' ;;
	import) words='' options=' --category --if-absent --on-error' ;;
	publish) words='' options=' --text' ;;
	call) words='' options='' ;;
	methods) words='' options='' ;;
	session) words='list close' options='' ;;
	config) words='' options='' ;;
	reload) words='' options='' ;;
	log-level) words='' options='' ;;
	migrate) words='' options=' --store --config --to' ;;
	shutdown) words='' options='' ;;
	version) words='' options='' ;;
	completion) words='bash zsh fish' options='' ;;
	help) words='status ping put get del ls count category watch changes import publish call methods session config reload log-level migrate shutdown version completion help' options='' ;;
	esac
	# only the first word behind the command is one of a few
	((COMP_CWORD > i + 1)) && [[ ${COMP_WORDS[i + 1]} != -* ]] && words=''
	[[ $word == -* ]] && words="$options --socket --timeout --output -o --color --quiet -q --help -h --version"
	case $before in
	--output | -o) words='table json ndjson' ;;
	--color) words='auto always never' ;;
	--order) words='newest oldest id' ;;
	--on-error) words='stop skip' ;;
	--socket | --timeout | --name | --if-seq | --ttl | --expires-at | --id | --name-like | --after | --before | --limit | --offset | --cursor | --since | --state | --category | --store | --config | --to) words='' ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -o default -F _sysrtctl sysrtctl
