# Names over plain commands. `make dev ARGS="--fresh"` passes arguments on.
.PHONY: dev test lint fuzz timing bench soak faults docs

dev: ## Everything on this machine, release build
	scripts/install.sh
	cargo run --release --locked -- dev $(ARGS)

test: ## The whole test-suite
	scripts/test.sh

lint: ## Format, clippy, documentation
	scripts/lint.sh

fuzz: ## The admin API against its own document
	scripts/install.sh test
	scripts/fuzz.sh $(ARGS)

timing: ## Whether the time of a refusal tells what it hides
	scripts/install.sh test
	scripts/timing.sh

bench: ## The pure pieces
	cargo bench --locked $(ARGS)

soak: ## Every list and report over ten million calls
	scripts/soak.sh

faults: ## Everything that can break, broken: ARGS="F1 F11" chooses
	scripts/install.sh faults
	scripts/faults.sh $(ARGS)

docs: ## The code's documentation
	cargo doc --locked --no-deps --document-private-items --open
