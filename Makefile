# Each target sets itself up in .venv from nothing, and sets nothing up again while pyproject.toml stays as it is.
# Needs Python 3.11 to 3.13 (PYTHON=python3.12 names another than python3) and a package registry that pip can reach.

PYTHON ?= python3
# Installed before the rest, so that nothing else picks its version: without CUDA where there is no NVIDIA driver.
# TORCH="torch==2.13.0+cu130" would name a build, TORCH="torch==2.13.0" leaves the choice to pip's index.
TORCH ?= torch==2.13.0
# Where torch's makers keep the builds without CUDA.
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu
SONG ?=
# As it was typed: a $$ in a file's name is none of make's.
override SONG := $(value SONG)
export SONG
# of training, and of a soak
mini-train: MINUTES ?= 120
soak: MINUTES ?= 60
FUZZ_SECONDS ?= 600
FUZZ_SEED ?= 1
# `make fuzz` tries every so many damages to records; 1 tries each, in an hour or two.
RECORDS_EVERY ?= 10
# `make lock` keeps what still fits; LOCK=--upgrade takes the newest.
LOCK ?=

BIN := .venv/bin
PIP := $(BIN)/python -P -m pip --disable-pip-version-check
ifeq ($(origin TORCH),file)
INSTALL_TORCH = @$(BIN)/python -P deploy/tools/install_torch.py '$(TORCH)' --cpu-index '$(TORCH_CPU_INDEX)'
else
INSTALL_TORCH = @echo 'torch: $(TORCH), as TORCH says' && $(PIP) install --quiet $(TORCH)
endif
# The versions that the tests were run with last, but for torch's own.
PINS := --constraint requirements-dev.txt
# Compiled when the package is installed, where there is a C compiler.
COMPILED := src/msaas/separation/engines/compiled/kernels.c
PYTEST := $(BIN)/python -P -m pytest -n auto --dist loadfile --no-loadscope-reorder
PIP_COMPILE := CUSTOM_COMPILE_COMMAND='make lock' $(BIN)/python -P -m piptools compile --quiet --strip-extras --no-emit-index-url \
	--no-emit-find-links --no-emit-trusted-host --no-emit-options --constraint .venv/torch.txt $(LOCK)
COMPILE := $(PIP_COMPILE) --allow-unsafe --generate-hashes

.DEFAULT_GOAL := help
.PHONY: help demo serve test test-all test-avx2 check lint types format bench bench-compare bench-lengths bench-memory bench-models bench-load bench-growth bench-neighbours bench-abuse soak chaos chaos-mutants \
	images manifests container-smoke cluster-smoke cluster-test compose compose-smoke lock audit sbom fuzz hostile bench-uploads \
	mini-train mini-eval typescript test-pythons clean

help:
	@echo 'make demo          separate the sample, or SONG=path, and leave the stems in stems/'
	@echo 'make serve         run the whole service on this machine, on MSAAS_PORT (5000)'
	@echo 'make test          run the tests but the slow ones'
	@echo 'make test-all      run every test         make check    lint, types and every test'
	@echo 'make test-avx2     the tests of the engines as on a CPU with AVX2 and no more'
	@echo 'make lint | types | format                make lock     pin all requirements anew'
	@echo 'make bench         the full model: ours, Demucs, ONNX Runtime, OpenVINO    make bench-lengths  time against length'
	@echo 'make bench-compare OLD=… NEW=…  two records of bench/results side by side; without them, their names'
	@echo 'make bench-memory  peak memory of a short song and of a long one'
	@echo 'make bench-models  each family of networks: speed at real configurations, peak memory of small ones'
	@echo 'make bench-load    posts, status and downloads a second      make bench-growth  with 100,000 jobs'
	@echo 'make bench-neighbours  what one greedy caller does to another'
	@echo 'make bench-abuse   twelve attacks by slow and greedy clients, and what others notice (AGAINST=older/src beside it)'
	@echo 'make soak          an hour of mixed load with kills: does anything grow, is anything lost (MINUTES=5 for a trial)'
	@echo 'make bench-uploads peak memory of the API under 20 large uploads'
	@echo 'make fuzz          damaged songs for ten minutes, then damaged records (FUZZ_SECONDS, FUZZ_SEED)      make hostile   what each hostile song costs'
	@echo 'make audit         known weaknesses of what the images hold      make sbom   what that is'
	@echo 'make chaos         the fault suite, a quarter of an hour      make chaos-mutants  each guard taken away'
	@echo 'make images        container images (IMAGES="--weights none")  make manifests  every overlay, checked'
	@echo 'make chart         the Helm chart, from the kustomize base, in build/chart (REGISTRY=… of the images)'
	@echo 'make compose       the whole service in containers (compose.yaml)      make compose-smoke  it at work, without a registry'
	@echo 'make container-smoke | cluster-smoke   the images and manifests at work, without and with a cluster'
	@echo 'make cluster-test  faults in a cluster on this machine while songs run (docs/kubernetes.md)'
	@echo 'make typescript    clients/typescript: type check, build and tests (Node and npm)'
	@echo 'make test-pythons  the quick tests with each other Python that is here, 3.12 or 3.13'
	@echo 'make mini-train    makes the small models again (MINUTES=120 for each)        make mini-eval   how well they separate'
	@echo 'make clean         remove .venv and caches; songs in .msaas/ and stems/ stay'

demo: .venv/stamp-local
	@exec $(BIN)/python -P -m msaas.cli demo -- $${SONG:+"$$SONG"}

serve: .venv/stamp-local
	@exec $(BIN)/python -P -m msaas.cli up

test: .venv/stamp-dev
	$(PYTEST) -m 'not slow'

test-all: .venv/stamp-dev
	$(PYTEST)

# The engines, on a processor that has more, as on one that has no more than AVX2: no bfloat16, other kernels,
# no 8-bit integers.
test-avx2: .venv/stamp-dev
	ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 $(PYTEST) tests/separation/engines tests/separation/test_stream.py \
		--ignore tests/separation/engines/test_int8.py

check: lint types test-all

lint: .venv/stamp-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	deploy/tools/workflows.sh

types: .venv/stamp-dev
	$(BIN)/python -P -m mypy

format: .venv/stamp-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/stamp-bench
	$(BIN)/python -m bench.separation.speed
	$(BIN)/python -m bench.separation.speed --profile
	$(BIN)/python -m bench.separation.speed --steps
	$(BIN)/python -m bench.separation.qualities --qualities fast balanced

bench-compare: .venv/stamp-bench
	@$(BIN)/python -m bench.separation.results $(OLD) $(NEW)

bench-lengths: .venv/stamp-bench
	$(BIN)/python -m bench.separation.lengths
	$(BIN)/python -m bench.separation.lengths --small --minutes 1 10 60

bench-memory: .venv/stamp-dev
	$(BIN)/python -m bench.separation.memory

bench-models: .venv/stamp-dev
	$(BIN)/python -m bench.separation.models --memory 3 60

bench-abuse: .venv/stamp-dev
	$(BIN)/python -m bench.api.abuse $(if $(AGAINST),--against $(AGAINST))
	$(BIN)/python -m bench.api.neighbours

bench-load: .venv/stamp-dev
	$(BIN)/python -m bench.api.load

bench-growth: .venv/stamp-dev
	$(BIN)/python -m bench.api.growth

bench-neighbours: .venv/stamp-dev
	$(BIN)/python -m bench.api.neighbours

soak: .venv/stamp-dev
	$(BIN)/python -m bench.soak --minutes $(MINUTES) $(SOAK)

hostile: .venv/stamp-dev
	$(BIN)/python -m bench.api.hostile

bench-uploads: .venv/stamp-dev
	$(BIN)/python -m bench.api.uploads

fuzz: .venv/stamp-dev
	$(BIN)/python -m tests.hostile.fuzz --seconds $(FUZZ_SECONDS) --seed $(FUZZ_SEED)
	RECORDS_EVERY=$(RECORDS_EVERY) RECORDS_SEED=$(FUZZ_SEED) $(BIN)/python -P -m pytest tests/records -m slow

chaos: .venv/stamp-dev
	$(BIN)/python -m tests.chaos --scale full

chaos-mutants: .venv/stamp-dev
	$(BIN)/python -m tests.chaos.mutants

images:
	deploy/tools/images.sh $(IMAGES)

manifests: .venv/stamp-dev
	deploy/tools/manifests.sh

chart: .venv/stamp-dev
	$(BIN)/python deploy/tools/make-chart.py --package $(if $(REGISTRY),--registry $(REGISTRY))

# Needs docker compose or podman-compose, and neither Python nor .venv.
compose:
	deploy/tools/compose.sh

compose-smoke: .venv/stamp-dev
	deploy/tools/compose-smoke.sh

container-smoke: .venv/stamp-dev
	deploy/tools/container-smoke.sh

cluster-smoke: .venv/stamp-dev
	deploy/tools/cluster-smoke.sh

cluster-test: .venv/stamp-dev
	deploy/tools/cluster-test.sh $(DRILL)

# logs/requirements.txt is a line of rest's, copied: pip-compile would have it depend on nothing else all the same.
# requirements-dev.txt pins what the images hold to the same versions, and leaves out torch with what its builds bring:
# which build there is depends on the machine.
# Needs pip-tools alone: what is installed by the old lock may not go with a new pyproject.toml.
lock: | .venv/stamp-venv
	$(PIP) install --quiet 'pip-tools>=7.5,<8'
	@echo '$(TORCH)' > .venv/torch.txt
	@cp worker/requirements.txt .venv/before.txt
	$(COMPILE) --extra rest --output-file rest/requirements.txt pyproject.toml
	$(COMPILE) --extra worker --extra models --output-file worker/requirements.txt pyproject.toml
	$(BIN)/python deploy/tools/lock_torch.py .venv/before.txt worker/requirements.txt
	@sed -n 's/^\([A-Za-z0-9._-]*==[^ ;+]*\).*/\1/p' rest/requirements.txt worker/requirements.txt | grep -v '^torch==' > .venv/shipped.txt
	@cp requirements-dev.txt .venv/dev.txt
	$(PIP_COMPILE) --no-annotate --constraint .venv/shipped.txt --extra dev --output-file .venv/dev.txt pyproject.toml
	@grep -Ev '^((torch|triton|nvidia-[^=]*|cuda-[^=]*)==|msaas @|$$|# (The|pip|setuptools))' .venv/dev.txt > requirements-dev.txt
	@sed -n 's/^\(.*==.*\) \\$$/\1/p' deploy/tools/older-python.txt >> requirements-dev.txt
	@{ head -n 1 logs/requirements.txt; sed -n '/^redis==/,/[0-9a-f]$$/p' rest/requirements.txt; } > .venv/logs.txt
	@mv .venv/logs.txt logs/requirements.txt
	@for image in rest worker logs; do cat deploy/tools/older-python.txt >> $$image/requirements.txt; done

audit:
	@deploy/tools/audit.sh

sbom:
	@deploy/tools/sbom.sh

mini-train: .venv/stamp-training
	PYTHONPATH=models $(BIN)/python -P -m training all --minutes $(MINUTES)

mini-eval: .venv/stamp-training
	PYTHONPATH=models $(BIN)/python -P -m training eval

# The types are made of the API's own document.
typescript: .venv/stamp-dev
	$(BIN)/msaas openapi > clients/typescript/openapi.json
	cd clients/typescript && npm ci --no-audit --no-fund && npm run check && npm run build
	$(PYTEST) -n 0 tests/e2e/test_typescript.py

# Each in a copy of the tree, with a .venv of its own.
test-pythons:
	deploy/tools/test-pythons.sh

clean:
	rm -rf .venv build src/*.egg-info $(COMPILED:.c=.*.so) .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests bench data -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/stamp-venv:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { \
		echo "MSaaS needs Python 3.11 to 3.13; '$(PYTHON)' is $$($(PYTHON) -V 2>&1). Name another: make PYTHON=python3.12" >&2; \
		exit 1; }
	@echo 'setting up .venv: some minutes, once'
	@$(PYTHON) -m venv .venv
	@touch $@

.venv/stamp-local: pyproject.toml requirements-dev.txt $(COMPILED) | .venv/stamp-venv
	$(INSTALL_TORCH)
	$(PIP) install --quiet $(PINS) --editable '.[local]'
	@touch $@

.venv/stamp-dev: pyproject.toml requirements-dev.txt $(COMPILED) | .venv/stamp-venv
	$(INSTALL_TORCH)
	$(PIP) install --quiet $(PINS) --editable '.[dev]'
	@touch .venv/stamp-local $@

.venv/stamp-bench: pyproject.toml requirements-dev.txt $(COMPILED) | .venv/stamp-venv
	$(INSTALL_TORCH)
	$(PIP) install --quiet $(PINS) --editable '.[bench]'
	@touch $@

.venv/stamp-training: pyproject.toml requirements-dev.txt $(COMPILED) | .venv/stamp-venv
	$(INSTALL_TORCH)
	$(PIP) install --quiet $(PINS) --editable '.[training]'
	@touch $@
