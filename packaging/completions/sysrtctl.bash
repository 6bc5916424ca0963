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
		--socket | --url | --token-file | --ca | --timeout | --output | -o | --color)
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
	'') words='status ping put patch get history diff del ls search count category watch changes import export publish call methods feed limits session token secret vault config reload log-level backup check compact restore migrate shutdown version completion help' ;;
	status) words='' options='' ;;
	ping) words='' options='' ;;
	put) words='' options=' --name --if-seq --if-absent --ttl --expires-at --text' ;;
	patch) words='' options=' --if-seq' ;;
	get) words='' options=' --data --rev --at-seq --at' ;;
	history) words='' options=' --limit --cursor --all' ;;
	diff) words='' options='' ;;
	del) words='' options=' --if-seq --where --yes --dry-run' ;;
	ls) words='' options=' --id --where --name --name-like --after --before --order --limit --offset --cursor --all' ;;
	search) words='' options=' --category --after --before --where --order --snippet --data --limit --cursor --all' ;;
	count) words='' options=' --id --where' ;;
	category) words='list' options='' ;;
	watch) words='' options=' --since --state --id --where --history --topic' ;;
	changes) words='' options=' --since --id --where --limit' ;;
	import) words='' options=' --format --id --name --map --numbers --preset --category --if-absent --on-error --dry-run --restore --resume --state' ;;
	export) words='' options=' --format --columns --file' ;;
	publish) words='' options=' --text' ;;
	call) words='' options='' ;;
	methods) words='' options='' ;;
	feed) words='ls show add rm start stop test replay logs' options=' --upstream --set --replace --messages --wait --feed --speed --into --limit' ;;
	limits) words='list test' options=' --token --rate --method --for' ;;
	session) words='list show close' options='' ;;
	token) words='create list revoke' options=' --scope --expires --rate' ;;
	secret) words='set list show remove rotate test import export' options=' --file --format --salt --rounds' ;;
	vault) words='unlock lock rekey status' options=' --key-file --passphrase' ;;
	config) words='' options='' ;;
	reload) words='' options='' ;;
	log-level) words='' options='' ;;
	backup) words='' options=' --verify' ;;
	check) words='' options=' --store --config --repair' ;;
	compact) words='' options=' --store --config' ;;
	restore) words='' options=' --store --config --drop-tokens' ;;
	migrate) words='' options=' --store --config --to' ;;
	shutdown) words='' options='' ;;
	version) words='' options='' ;;
	completion) words='bash zsh fish' options='' ;;
	help) words='status ping put patch get history diff del ls search count category watch changes import export publish call methods feed limits session token secret vault config reload log-level backup check compact restore migrate shutdown version completion help' options='' ;;
	esac
	# only the first word behind the command is one of a few
	((COMP_CWORD > i + 1)) && [[ ${COMP_WORDS[i + 1]} != -* ]] && words=''
	[[ $word == -* ]] && words="$options --socket --url --token-file --ca --timeout --output -o --color --quiet -q --help -h --version"
	case $before in
	--output | -o) words='table json ndjson' ;;
	--color) words='auto always never' ;;
	--order) words='newest oldest id' ;;
	--format) words='ndjson json csv tsv' ;;
	--preset) words='journald log' ;;
	--on-error) words='stop skip' ;;
	--socket | --url | --token-file | --ca | --timeout | --name | --if-seq | --ttl | --expires-at | --rev | --at-seq | --at | --limit | --cursor | --where | --id | --name-like | --after | --before | --offset | --category | --snippet | --since | --state | --map | --columns | --file | --upstream | --set | --messages | --wait | --feed | --speed | --into | --token | --rate | --method | --for | --scope | --expires | --salt | --rounds | --key-file | --store | --config | --to) words='' ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -o default -F _sysrtctl sysrtctl
