# sysrt. The targets: make help
#
# The lists of sources below are the reading order, the link order and the law of includes: a file
# may include only what stands above it (checked by `make order`). Nothing here asks for a package
# before `make deps` had its turn: libraries are named, not looked up.

VERSION := 0.1.0
BUILD   ?= build
PREFIX  ?= /usr/local
DESTDIR ?=
PROFILE ?= release
CROSS   ?=
SCDOC   ?= scdoc
SQLITE_DIR ?=

common_sources := \
	common/span.h \
	common/utf8.h \
	common/list.h \
	common/rate.c \
	common/err.c \
	common/xalloc.c \
	common/base64.c \
	common/secret.c \
	common/clock.c \
	common/time.c \
	common/name.c \
	common/uuid.c \
	common/buf.c \
	common/log.c \
	common/json.c \
	common/json_write.c \
	common/redact.c \
	common/secret_json.c \
	common/json_members.c \
	common/json_pointer.c \
	common/json_compare.c \
	common/json_merge.c \
	common/json_diff.c \
	common/where.c \
	common/where_parse.c \
	common/toml.c \
	common/toml_scan.c \
	common/toml_value.c \
	common/toml_tree.c \
	common/rpc.c \
	common/report.c \
	common/wire/ws.c \
	common/wire/http.c \
	common/url.c \
	common/wire/response.c \
	common/wire/handshake.c \
	common/wire/trust.c \
	common/client/sysrt.h \
	common/client/fail.c \
	common/client/stream.c \
	common/client/remote.c \
	common/client/sysrt.c

daemon_sources := \
	daemon/base/frame.c \
	daemon/base/slots.c \
	daemon/base/heap.c \
	daemon/base/loop.c \
	daemon/base/queue.c \
	daemon/base/offload.c \
	daemon/base/stats.c \
	daemon/base/bounds.c \
	daemon/base/histogram.c \
	daemon/base/network.c \
	daemon/guard/scope.c \
	daemon/guard/grant_text.c \
	daemon/base/conf.h \
	daemon/base/template.c \
	daemon/base/mapping.c \
	daemon/base/expand.c \
	daemon/base/conf_table.c \
	daemon/base/conf_value.c \
	daemon/base/conf_steps.c \
	daemon/base/conf_named.c \
	daemon/base/conf_json.c \
	daemon/base/conf_feed.c \
	daemon/base/conf_print.c \
	daemon/base/conf.c \
	daemon/search/tokens.c \
	daemon/search/text.c \
	daemon/search/query.c \
	daemon/search/query_match.c \
	daemon/search/snippet.c \
	daemon/store/pattern.c \
	daemon/store/change.c \
	daemon/store/client.c \
	daemon/store/sweep.c \
	daemon/store/job.c \
	daemon/store/chain.c \
	daemon/store/turn.c \
	daemon/store/answer.c \
	daemon/store/sql.c \
	daemon/store/sum.c \
	daemon/store/migrate.c \
	daemon/store/findings.c \
	daemon/store/verify.c \
	daemon/search/kinds.c \
	daemon/search/indexfile.c \
	daemon/search/indexcheck.c \
	daemon/store/retention.c \
	daemon/store/history.c \
	daemon/store/counts.c \
	daemon/store/copy.c \
	daemon/store/folder.c \
	daemon/store/beside.c \
	daemon/store/backup.c \
	daemon/store/patch.c \
	daemon/store/refill.c \
	daemon/store/rows.c \
	daemon/store/grant.c \
	daemon/store/safe.c \
	daemon/store/feedrow.c \
	daemon/store/pick.c \
	daemon/store/apply_record.c \
	daemon/store/apply_prune.c \
	daemon/store/apply.c \
	daemon/store/due.c \
	daemon/store/maintain.c \
	daemon/store/pace.c \
	daemon/store/writeback.c \
	daemon/store/checkpoint.c \
	daemon/store/wal.c \
	daemon/store/vacuum.c \
	daemon/store/chores.c \
	daemon/store/place.c \
	daemon/store/writer.c \
	daemon/store/read.c \
	daemon/store/read_history.c \
	daemon/store/read_list.c \
	daemon/store/read_changes.c \
	daemon/store/reader.c \
	daemon/store/check.c \
	daemon/store/checker.c \
	daemon/store/lobby.c \
	daemon/store/file.c \
	daemon/store/restore.c \
	daemon/store/export.c \
	daemon/store/pages.c \
	daemon/store/cells.c \
	daemon/store/salvage_map.c \
	daemon/store/salvage.c \
	daemon/store/repair.c \
	daemon/store/compact.c \
	daemon/store/store.c \
	daemon/search/recent.c \
	daemon/search/query_recent.c \
	daemon/search/score.c \
	daemon/search/shared.h \
	daemon/search/changed.c \
	daemon/search/indexer.c \
	daemon/search/follow.c \
	daemon/search/source.c \
	daemon/search/find.c \
	daemon/search/page.c \
	daemon/search/searcher.c \
	daemon/search/search.c \
	daemon/hub/hub.h \
	daemon/hub/notify.c \
	daemon/hub/table.c \
	daemon/hub/index.c \
	daemon/hub/group.c \
	daemon/hub/ring.c \
	daemon/hub/slice.c \
	daemon/hub/subscription.c \
	daemon/hub/replay.c \
	daemon/hub/publish.c \
	daemon/hub/topic.c \
	daemon/hub/outage.c \
	daemon/hub/hub.c \
	daemon/guard/bucket.c \
	daemon/guard/limit.c \
	daemon/guard/trail.c \
	daemon/guard/audit.c \
	daemon/guard/peercred.c \
	daemon/guard/token.c \
	daemon/guard/seal.c \
	daemon/guard/pbkdf2.c \
	daemon/guard/foreign.c \
	daemon/guard/vaulthead.c \
	daemon/guard/keysource.c \
	daemon/guard/roster.c \
	daemon/guard/vault.c \
	daemon/guard/vault_plan.c \
	daemon/guard/bearer.c \
	daemon/guard/proxy.c \
	daemon/guard/auth.c \
	daemon/net/tls_context.c \
	daemon/net/tls.c \
	daemon/net/conn.c \
	daemon/net/conn_tls.c \
	daemon/net/http.c \
	daemon/net/listen.c \
	daemon/net/resolve.c \
	daemon/net/dial.c \
	daemon/feed/machine.c \
	daemon/feed/authorities.c \
	daemon/feed/upstream_open.c \
	daemon/feed/upstream.c \
	daemon/feed/greeting.c \
	daemon/feed/link.c \
	daemon/feed/feedrecord.c \
	daemon/feed/conflation.c \
	daemon/feed/writing.c \
	daemon/feed/recorder.c \
	daemon/feed/journal.c \
	daemon/feed/feed.c \
	daemon/feed/feed_status.c \
	daemon/feed/playback.c \
	daemon/feed/trial.c \
	daemon/feed/feeds.c \
	daemon/api/args.c \
	daemon/api/gate.h \
	daemon/api/reach.c \
	daemon/api/methods.h \
	daemon/api/record.c \
	daemon/api/history.c \
	daemon/api/restore.c \
	daemon/api/search.c \
	daemon/api/subscribe.c \
	daemon/api/topic.c \
	daemon/api/feed.c \
	daemon/api/limits.c \
	daemon/api/session.c \
	daemon/api/token.c \
	daemon/api/secret.c \
	daemon/api/vault.c \
	daemon/api/system.c \
	daemon/api/gate.c \
	daemon/peer/peer.c \
	daemon/peer/peer_hold.c \
	daemon/peer/peer_show.c \
	daemon/peer/peer_admit.c \
	daemon/peer/hello.c \
	daemon/peer/session.c \
	daemon/peer/session_http.c \
	daemon/peer/control.c \
	daemon/backups.c \
	daemon/errand.c \
	daemon/secrets.c \
	daemon/secrets_key.c \
	daemon/doors.c \
	daemon/deliver.c \
	daemon/server_api.c \
	daemon/server.c \
	daemon/offline.c \
	daemon/main.c

ctl_sources := \
	ctl/answer.c \
	ctl/ctl.h \
	ctl/interrupt.c \
	ctl/out.c \
	ctl/door.c \
	ctl/ctl.c \
	ctl/text.c \
	ctl/hidden.c \
	ctl/position.c \
	ctl/program.c \
	ctl/progress.c \
	ctl/commands.h \
	ctl/grammar.h \
	ctl/record.c \
	ctl/delete.c \
	ctl/history.c \
	ctl/search.c \
	ctl/watch.c \
	ctl/sender.c \
	ctl/csv.c \
	ctl/columns.c \
	ctl/unarray.c \
	ctl/source.c \
	ctl/resume.c \
	ctl/preset.c \
	ctl/mapping.c \
	ctl/exported.c \
	ctl/import.c \
	ctl/table.c \
	ctl/export.c \
	ctl/scratch.c \
	ctl/feed.c \
	ctl/feed_replay.c \
	ctl/limits.c \
	ctl/session.c \
	ctl/token.c \
	ctl/secret.c \
	ctl/vault.c \
	ctl/system.c \
	ctl/status.c \
	ctl/follow.c \
	ctl/backup.c \
	ctl/check.c \
	ctl/compact.c \
	ctl/completion.c \
	ctl/help.c \
	ctl/grammar.c \
	ctl/main.c

libs := -lsqlite3 -levent_core -lsodium -lcjson -lwslay -lhttp_parser -lssl -lcrypto -lm -pthread

# --- profiles -------------------------------------------------------------------------------------

ifeq ($(PROFILE),release)
O := $(BUILD)
else
O := $(BUILD)/$(PROFILE)
endif

ifneq ($(filter default undefined,$(origin CC)),)
CC := $(if $(filter fuzz,$(PROFILE)),clang,$(CROSS)gcc)
endif
OBJCOPY ?= $(CROSS)objcopy
is_clang := $(findstring clang,$(notdir $(CC)))
machine  := $(firstword $(subst -, ,$(or $(CROSS),$(shell uname -m))))

warnings := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
	-Wcast-qual -Wwrite-strings -Wundef -Wformat=2 -Wvla -Wswitch-enum -Wimplicit-fallthrough \
	-Werror
fortify  := -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
harden   := -fPIE -fstack-protector-strong -fstack-clash-protection \
	$(if $(filter x86_64,$(machine)),-fcf-protection) \
	$(if $(filter aarch64,$(machine)),-mbranch-protection=standard)
harden_link := -pie -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed

# Fat objects: the programs are linked as one whole, tests take single objects as they are.
release_flags := -O3 $(fortify) $(if $(is_clang),,-flto=auto -ffat-lto-objects)
debug_flags   := -Og
asan_flags    := -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
tsan_flags    := -O1 -fno-omit-frame-pointer -fsanitize=thread
fuzz_flags    := -O1 -fno-omit-frame-pointer -fno-sanitize-recover=all \
	-fsanitize=fuzzer-no-link,address,undefined
ifeq ($($(PROFILE)_flags),)
$(error PROFILE is one of release, debug, asan, tsan, fuzz)
endif

cppflags := -std=c17 -D_GNU_SOURCE -DSYSRT_VERSION=\"$(VERSION)\" -I. -I$(O)/gen
cflags   := -g $(warnings) $(harden) $($(PROFILE)_flags) $(CFLAGS)
ldflags  := $(harden_link) $($(PROFILE)_flags) $(LDFLAGS)
ifeq ($(PROFILE),release)
test_ldflags := $(ldflags) $(if $(is_clang),,-fno-lto)
else
test_ldflags := $(ldflags)
endif

# Another SQLite than the system's: an amalgamation, compiled as its makers advise.
ifneq ($(SQLITE_DIR),)
cppflags       := -I$(SQLITE_DIR) $(cppflags)
libs           := $(filter-out -lsqlite3,$(libs)) -lm
sqlite_objects := $(O)/obj/sqlite3.o
endif

objects_of     = $(patsubst %.c,$(O)/obj/%.o,$(filter %.c,$(1)))
common_objects := $(call objects_of,$(common_sources))
daemon_objects := $(call objects_of,$(daemon_sources))
ctl_objects    := $(call objects_of,$(ctl_sources))
programs       := $(O)/sysrtd $(O)/sysrtctl

# V=1 shows the commands.
quiet := $(if $(V),,@)
say    = $(if $(V),,@echo '$(1)' $(patsubst $(O)/%,%,$@))

# --- programs -------------------------------------------------------------------------------------

.PHONY: all help deps demo check check-long bench bench-peers fuzz lint format order sizes \
	man install install-man clean tests unit benches fuzzers print-sources FORCE
.DELETE_ON_ERROR:

all: $(programs)

help:
	@echo 'all (default)   build/sysrtd and build/sysrtctl'
	@echo 'deps            install what building and testing need (Debian)'
	@echo 'demo            the guided tour on real data (DEMO_ONCE=1: ends by itself)'
	@echo 'check           all tests in short form; check-long: with full counts'
	@echo 'bench           the figures, each beside its ceiling; bench-peers: beside other servers'
	@echo 'fuzz            each fuzzer for FUZZ_SECONDS=600'
	@echo 'lint format order sizes   the checks of the source'
	@echo 'man             the manual pages, in build/man'
	@echo 'install         to $$DESTDIR$$PREFIX; clean: remove $$BUILD'
	@echo 'Settings: PROFILE=release|debug|asan|tsan SQLITE_DIR=FOLDER CROSS=TRIPLET- BUILD=FOLDER'

$(O)/sysrtd: $(common_objects) $(daemon_objects) $(sqlite_objects)
	$(call say,link)
	$(quiet)$(CC) $(ldflags) -o $@ $^ $(libs)
	$(split_symbols)

$(O)/sysrtctl: $(common_objects) $(ctl_objects)
	$(call say,link)
	$(quiet)$(CC) $(ldflags) -o $@ $^ $(libs)
	$(split_symbols)

ifeq ($(PROFILE),release)
define split_symbols
$(quiet)$(OBJCOPY) --only-keep-debug $@ $@.debug
$(quiet)$(OBJCOPY) --strip-debug --strip-unneeded --add-gnu-debuglink=$@.debug $@
endef
endif

$(O)/obj/%.o: %.c $(O)/gen/flags
	@mkdir -p $(@D)
	$(call say,cc)
	$(quiet)$(CC) $(cppflags) $(cflags) -MMD -MP -c -o $@ $<

$(O)/obj/sqlite3.o: $(SQLITE_DIR)/sqlite3.c $(O)/gen/flags
	@mkdir -p $(@D)
	$(call say,cc)
	$(quiet)$(CC) -g $(harden) $($(PROFILE)_flags) $(CFLAGS) -w -DSQLITE_THREADSAFE=1 -DSQLITE_DQS=0 -c -o $@ $<

$(O)/obj/daemon/store/migrate.o: $(O)/gen/daemon/store/migrate_texts.h

$(O)/gen/daemon/store/migrate_texts.h: packaging/build/embed-migrations $(wildcard migrations/*.sql)
	@mkdir -p $(@D)
	$(quiet)sh packaging/build/embed-migrations migrations >$@

# Changes only when the compiler or its flags do: then everything is built again.
flags_text := $(CC) $(cppflags) $(cflags) $(SQLITE_DIR)
$(O)/gen/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(flags_text)' | cmp -s - $@ || printf '%s\n' '$(flags_text)' >$@

-include $(shell find $(O)/obj -name '*.d' 2>/dev/null)

# --- manual pages ---------------------------------------------------------------------------------

pages := $(patsubst packaging/man/%.scd,$(BUILD)/man/%,$(wildcard packaging/man/*.scd))

man: $(pages)

$(BUILD)/man/%: packaging/man/%.scd
	@mkdir -p $(@D)
	$(call say,man)
	$(quiet)$(SCDOC) <$< >$@

# --- tests: each program links with the sources whose headers it includes (test-rules) ------------

test_parts := $(common_sources) $(daemon_sources) $(ctl_sources) \
	$(wildcard tests/unit/*.[ch] tests/bench/*.[ch] tests/fuzz/*.[ch] \
	common/*.h common/*/*.h daemon/*.h daemon/*/*.h ctl/*.h)
ifeq ($(filter clean help deps format order sizes print-sources,$(MAKECMDGOALS)),)
-include $(O)/gen/tests.mk
endif

$(O)/gen/tests.mk: $(test_parts) packaging/scripts/test-rules
	@mkdir -p $(@D)
	@sh packaging/scripts/test-rules $(test_parts) >$@

unit: $(unit_programs)
benches: $(bench_programs)
fuzzers: $(fuzz_programs)
tests: unit benches

$(O)/tests/%:
	@mkdir -p $(@D)
	$(call say,link)
	$(quiet)$(CC) $(test_ldflags) -o $@ $(filter %.o,$^) $(libs) -lcheck -lsubunit -lm

$(O)/bench/%:
	@mkdir -p $(@D)
	$(call say,link)
	$(quiet)$(CC) $(test_ldflags) -o $@ $(filter %.o,$^) $(libs) -lm

$(O)/fuzz/%:
	@mkdir -p $(@D)
	$(call say,link)
	$(quiet)$(CC) $(test_ldflags) -fsanitize=fuzzer -o $@ $(filter %.o,$^) $(libs)

# --- everything else ------------------------------------------------------------------------------

python := /usr/bin/python3
export BUILD MAKE

deps:
	sh packaging/deps check

demo: all
	sh packaging/demo

check:
	$(python) tests/check

check-long:
	sh packaging/deps long
	SYSRT_LONG=1 $(python) tests/check

bench: all benches
	SYSRT_BUILD=$(O) $(python) tests/bench/bench.py $(FIGURES)

bench-peers: all benches
	sh packaging/deps peers
	SYSRT_BUILD=$(O) $(python) tests/bench/bench.py nats

fuzz:
	$(python) tests/check fuzz

lint: $(O)/gen/daemon/store/migrate_texts.h
	@sh packaging/scripts/lint $(O) $(or $(STEP),all) $(filter %.c,$(test_parts))

format:
	clang-format -i $$(find common daemon ctl tests -name '*.[ch]')

order:
	@sh packaging/scripts/order $(common_sources) $(daemon_sources) $(ctl_sources)

sizes:
	@sh packaging/scripts/sizes

# Where zsh looks: what a distribution ships, and all else.
zsh_folder := $(if $(filter /usr,$(PREFIX)),vendor-completions,site-functions)

install: all
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/doc/sysrt
	install -m 755 $(O)/sysrtd $(DESTDIR)$(PREFIX)/sbin/
	install -m 755 $(O)/sysrtctl $(DESTDIR)$(PREFIX)/bin/
	install -m 644 config.example.toml README.md $(DESTDIR)$(PREFIX)/share/doc/sysrt/
	install -D -m 644 packaging/completions/sysrtctl.bash \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/sysrtctl
	install -D -m 644 packaging/completions/_sysrtctl \
		$(DESTDIR)$(PREFIX)/share/zsh/$(zsh_folder)/_sysrtctl
	install -D -m 644 packaging/completions/sysrtctl.fish \
		$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/sysrtctl.fish
	@if command -v $(SCDOC) >/dev/null; then \
		$(MAKE) --no-print-directory install-man; \
	else \
		echo 'install: the manual pages are left out: there is no $(SCDOC)'; \
	fi

install-man: man
	for page in $(pages); do \
		install -D -m 644 $$page $(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$${page##*/} || exit; \
	done

clean:
	rm -rf $(BUILD)

print-sources:
	@printf '%s\n' $(common_sources) $(daemon_sources) $(ctl_sources)
