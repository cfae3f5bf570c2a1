# Makefile - the short way into the CMake build; `make help` lists it.
#
# `run`, `test`, `check`, `static` and `bench` do the whole set-up: install what is missing (tools/setup.sh),
# configure, build, go. Presets of CMake: release in build/, dev, asan, stress, clang, fuzz, static in build-NAME/.

JOBS ?= $(shell nproc 2>/dev/null || echo 2)
PREFIX ?= /usr/local
ARGS ?=
FUZZ ?= batch cache dedup options pool rate semaphore
FUZZ_SECONDS ?= 60
# The order of tests and everything random in them; printed, and WEIR_SEED=n repeats a run.
WEIR_SEED ?= $(shell date +%s)
export WEIR_SEED
MAKEFLAGS += --no-print-directory

# Real servers on a busy machine: what fails is shown, and run once more before it counts. Read what was shown.
CTEST = echo "weir: WEIR_SEED=$(WEIR_SEED)"; \
        ctest --output-on-failure --schedule-random --parallel $(JOBS) --repeat until-pass:2
C_FILES = find . -type d \( -name 'build*' -o -name node_modules -o -name .git \) -prune -o -name '*.[ch]' -print

.DEFAULT_GOAL := release
.NOTPARALLEL:
.PHONY: release programs dev asan stress clang static fuzzers run test proof coverage check fuzz format bench docs install clean help

release: build/configured ## build/weir and build/lua/weir: what is shipped (this is plain `make`)
	@cmake --build build --parallel $(JOBS)

dev asan stress clang: %: build-%/configured ## the same in build-NAME/, for debugger, sanitizers ...
	@cmake --build build-$@ --parallel $(JOBS)

fuzzers: build-fuzz/configured ## what `make fuzz` runs, in build-fuzz/
	@cmake --build build-fuzz --target weir_fuzz --parallel $(JOBS)

static: ## build-static/weir: one file that needs the C library alone, connectors inside
	@sh tools/setup.sh static
	@$(MAKE) build-static/configured
	@cmake --build build-static --target weir_programs --parallel $(JOBS)

configure = @command -v cmake >/dev/null || { echo 'weir: cmake is missing; run tools/setup.sh run'; exit 1; }; \
            cmake --preset $(1) && touch $@

build/configured: CMakePresets.json
	$(call configure,release)

build-%/configured: CMakePresets.json
	$(call configure,$*)

programs: build/configured ## build/weir and build/lua alone, no tests: what `make run` needs
	@cmake --build build --target weir_programs --parallel $(JOBS)

run: ## fetch many URLs: make run ARGS="urls.txt --limit 100"
	@sh tools/setup.sh run
	@$(MAKE) programs
	@build/weir scripts/fanout.lua $(ARGS)

test: ## everything: release, asan, stress and static builds under one ctest, fuzzers for seconds; clang's warnings; build/proof.md
	@sh tools/setup.sh test
	@$(MAKE) release asan stress clang static fuzzers
	@mkdir -p build/all
	@echo 'subdirs("../../build" "../../build-asan" "../../build-stress" "../../build-static" "../../build-fuzz")' >build/all/CTestTestfile.cmake
	@git describe --always --dirty --abbrev=12 >build/all/commit 2>/dev/null || echo unknown >build/all/commit
	@$(CTEST) --output-junit results.xml --test-dir build/all; code=$$?; \
	    lua5.4 tools/proof.lua build/all build/proof.md && exit $$code

proof: ## what the last `make test` did, with its figures: docs/proof.md
	@lua5.4 tools/proof.lua build/all docs/proof.md

coverage: ## the lines and branches of core/ and bindings/ that tests run, some minutes: build-coverage/coverage.md
	@sh tools/setup.sh test
	@cmake -S . -B build-coverage -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS=--coverage -DCMAKE_C_FLAGS_DEBUG="-O0 -g"
	@cmake --build build-coverage --parallel $(JOBS)
	@find build-coverage -name '*.gcda' -delete
	@export WEIR_TEST_FACTOR=10; $(CTEST) --test-dir build-coverage -R '^dev[.](c|weir|host|examples)[.]'
	@lua5.4 tools/coverage.lua build-coverage

check: ## the fast half: format, luacheck, tests of the release build
	@sh tools/setup.sh test
	@$(C_FILES) | xargs clang-format --dry-run -Werror
	@luacheck -q .
	@$(MAKE) release
	@$(CTEST) --test-dir build

fuzz: ## let clang's libFuzzer choose the operations: FUZZ="semaphore pool" (all), FUZZ_SECONDS (60) each
	@sh tools/setup.sh test
	@$(MAKE) fuzzers
	@for unit in $(FUZZ); do \
	    FUZZ_SECONDS=$(FUZZ_SECONDS) build-fuzz/env sh spec/fuzz/run.sh $$unit || exit; \
	done

format: ## lay out the C files as .clang-format says
	@$(C_FILES) | xargs clang-format -i

bench: ## measure weir beside its peers: bench/run
	@sh tools/setup.sh bench
	@$(MAKE) release
	@bench/run $(ARGS)

docs: ## the documentation as a site with search: build/docs/index.html
	@sh tools/setup.sh docs
	@sh tools/docs.sh build/docs

install: build/configured ## into PREFIX (/usr/local) below DESTDIR
	@cmake --build build --target weir_installed --parallel $(JOBS)
	@cmake --install build --prefix $(PREFIX) --strip

clean: ## forget all builds
	@rm -rf build build-dev build-asan build-stress build-clang build-fuzz build-static build-coverage

help: ## this list
	@sed -n 's/^\([a-z ]*\):.*## /\1\t/p' Makefile | awk -F'\t' '{printf "  %-24s %s\n", $$1, $$2}'
