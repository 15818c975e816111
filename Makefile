# Everything that is done with this project, from a clean checkout: `make serve` and `make test` first.
# Each target sets up what it needs, once: a virtual environment in .venv, pinned packages, Debian packages
# where this account may install them.
#
#   make serve ARGS="--port 5673"      arguments for the broker
#   make test ARGS="tests/test_cli.py" arguments for pytest
#   make PYTHON=python3.13 test        another interpreter (remove .venv first)

# Debian's own build is optimised (PGO), which some other builds of the same version are not.
PYTHON := $(shell if [ -x /usr/bin/python3.11 ]; then echo /usr/bin/python3.11; else command -v python3; fi)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input --quiet
ARGS :=

# Folders with a package-lock.json hold JavaScript clients that tests run.
NODE_LOCKS := $(wildcard tests/*/package-lock.json tests/*/*/package-lock.json)
NODE_STAMPS := $(NODE_LOCKS:package-lock.json=node_modules/.stamp)

.DEFAULT_GOAL := help
.PHONY: help serve test check bench compare compare-events compare-kafka compare-messaging compare-activemq crash fuzz suites docs fmt lock lock-new clean setup peers lint types layers current kafka-codec

help:
	@echo "make serve    run a broker here, with its data in ./data"
	@echo "make test     run all tests"
	@echo "make check    lint, format, types, import layers, generated docs"
	@echo "make bench    measure side by side with the peers that are installed; writes bench/*.md"
	@echo "make compare  run the differential transcripts against a real RabbitMQ"
	@echo "make compare-events  what a real RabbitMQ and Pillarbox tell of the same deeds, as events and copies"
	@echo "make compare-kafka  run unmodified Kafka clients against a real Apache Kafka and against Pillarbox"
	@echo "make compare-messaging  run unmodified MQTT and STOMP clients against Mosquitto, RabbitMQ, ActiveMQ and Artemis"
	@echo "make compare-activemq  the same"
	@echo "make crash    kill the broker under load, 200 times over AMQP, Kafka, MQTT and STOMP each"
	@echo "make fuzz     throw changed input at whole connections, AMQP's, Kafka's, MQTT's and STOMP's, for a minute each"
	@echo "make suites   run the integration suites of kombu and Celery against Pillarbox"
	@echo "make docs     write the generated parts of docs/"
	@echo "make kafka-codec  write the Kafka codec from the message definitions in Kafka's client library"
	@echo "make fmt      format the source"
	@echo "make lock     pin the newest versions of all dependencies"
	@echo "make lock-new  pin what has been added to pyproject.toml, and leave the rest as it is"
	@echo "make clean    remove everything that was made, but not ./data"

# --- set-up -------------------------------------------------------------------------------------------

$(VENV)/.stamp-venv:
	@test -n "$(PYTHON)" || { echo "no python3 on the path: install Python 3.11 or newer" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than Python 3.11" >&2; exit 1; }
	@scripts/need "$(PYTHON) -c 'import ensurepip, venv'" "a virtual environment" python3-venv
	@echo "setting up $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

# What a broker needs; `make serve` installs no more.
$(VENV)/.stamp-serve: $(VENV)/.stamp-venv requirements.lock pyproject.toml
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.stamp-dev: $(VENV)/.stamp-serve requirements-dev.lock
	@echo "installing the tools and clients that the tests use"
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@

%/node_modules/.stamp: %/package-lock.json
	@if scripts/need "command -v npm" "JavaScript clients ($*)" nodejs npm; \
	then cd $* && npm ci --silent --no-audit --no-fund --ignore-scripts && touch node_modules/.stamp; \
	elif [ -n "$$CI" ]; then exit 1; \
	else echo "their tests will be skipped"; fi

# A tool that tests run, in an environment of its own.
KASKADE := tests/compare_kafka/kaskade
$(VENV)/kaskade/.stamp: $(KASKADE)/requirements.lock $(VENV)/.stamp-venv
	@$(PYTHON) -m venv $(VENV)/kaskade
	@$(VENV)/kaskade/bin/python -m pip --disable-pip-version-check --no-input --quiet install \
		--require-hashes -r $(KASKADE)/requirements.lock
	@touch $@

setup: $(VENV)/.stamp-dev $(NODE_STAMPS) $(VENV)/kaskade/.stamp
	@scripts/need "command -v mvn && command -v javac" "Kafka's message definitions and console tools" \
		maven default-jdk-headless || test -z "$$CI"
	@scripts/need "command -v kcat" "testing with kcat" kcat || test -z "$$CI"
	@scripts/need "test -x /usr/sbin/slapd" "testing logins by LDAP" slapd || test -z "$$CI"
	@scripts/need "command -v chromium" "testing the web page" chromium || test -z "$$CI"

peers: setup
	@scripts/need "test -x /usr/sbin/rabbitmq-server" "comparing with RabbitMQ" rabbitmq-server

# --- running ------------------------------------------------------------------------------------------

serve: $(VENV)/.stamp-serve
	@exec $(BIN)/pillarbox serve --data data $(ARGS)

# One more than the two cores that CI has: many tests wait for somebody else's program.
test: setup
	@$(BIN)/python -m pytest $(or $(ARGS),-n 3)

# The peers' own sources of noise are part of the method: see the docstrings in bench/.
bench: peers
	@$(BIN)/python -m bench.run $(ARGS)
	@$(BIN)/python -m bench.floor
	@$(BIN)/python -m bench.scale
	@$(BIN)/python -m bench.calls
	@$(BIN)/python -m bench.stomp_calls
	@$(BIN)/python -m bench.mqtt_calls
	@$(BIN)/python -m bench.run --render
	@$(BIN)/python -m bench.kafka_run
	@$(BIN)/python -m bench.mqtt_run
	@$(BIN)/python -m bench.mqtt_scale
	@$(BIN)/python -m bench.stomp_run

# FRESH random sequences besides the recorded ones, run on both brokers now.
FRESH := 100
compare: peers
	@$(BIN)/python -m tests.compare run --fresh $(FRESH) $(ARGS)

compare-messaging compare-activemq: peers
	@scripts/need "test -x /usr/sbin/mosquitto" "comparing with Mosquitto" mosquitto
	@scripts/need "test -e /usr/share/activemq/bin/activemq.jar" "comparing with ActiveMQ" activemq
	@scripts/need "command -v java && command -v mvn" "comparing with Artemis" default-jdk-headless maven
	@$(BIN)/python -m tests.compare_messaging record $(ARGS)
	@$(BIN)/python -m tests.compare_messaging replay $(ARGS)

compare-events: peers
	@$(BIN)/python -m tests.compare_events record $(ARGS)
	@$(BIN)/python -m tests.compare_events replay $(ARGS)

compare-kafka: setup
	@scripts/need "command -v javac && command -v mvn" "comparing with Kafka" default-jdk-headless maven
	@$(BIN)/python -m tests.compare_kafka run $(ARGS)

crash: setup
	@$(BIN)/python -m tests.kill $(ARGS)
	@$(BIN)/python -m tests.kill.kafka $(ARGS)
	@$(BIN)/python -m tests.kill.mqtt $(ARGS)
	@$(BIN)/python -m tests.kill.mqtt --qos 1 $(ARGS)
	@$(BIN)/python -m tests.kill.stomp $(ARGS)

# SECONDS for each of them.
SECONDS := 60
fuzz: setup
	@$(BIN)/python -m tests.protocols.amqp091.fuzz_connection --seconds $(SECONDS) $(ARGS)
	@$(BIN)/python -m tests.protocols.kafka.fuzz_connection --seconds $(SECONDS) $(ARGS)
	@$(BIN)/python -m tests.protocols.mqtt.fuzz_connection --seconds $(SECONDS) $(ARGS)
	@$(BIN)/python -m tests.protocols.stomp.fuzz_connection --seconds $(SECONDS) $(ARGS)

suites: setup
	@scripts/need "command -v redis-server" "Celery's suite" redis-server
	@$(BIN)/python tests/clients/suites/run.py $(ARGS)

check: lint types layers current

lint: $(VENV)/.stamp-dev
	$(BIN)/ruff check --quiet --output-format concise .
	$(BIN)/ruff format --quiet --check .

types: $(VENV)/.stamp-dev
	$(BIN)/mypy

layers: $(VENV)/.stamp-dev
	$(BIN)/lint-imports --no-logo

current: $(VENV)/.stamp-dev
	$(BIN)/python scripts/docs.py --check

docs: $(VENV)/.stamp-dev
	@$(BIN)/python scripts/docs.py

# What is checked in is proven current by tests/protocols/kafka/test_generated.py, where there is Maven.
kafka-codec: $(VENV)/.stamp-dev
	@scripts/need "command -v mvn" "Kafka's message definitions" maven
	@$(BIN)/python -m scripts.kafka_codec

fmt: $(VENV)/.stamp-dev
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format --quiet .

# --- upkeep -------------------------------------------------------------------------------------------

COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command "make lock"
LOCK := $(COMPILE) pyproject.toml

lock: UPGRADE := --upgrade
lock lock-new: $(VENV)/.stamp-venv
	@$(PIP) install uv
	@$(LOCK) $(UPGRADE) --group dev --output-file requirements-dev.lock
	@$(LOCK) $(UPGRADE) --group build --constraints requirements-dev.lock --output-file requirements.lock
	@$(COMPILE) $(UPGRADE) $(KASKADE)/requirements.in --output-file $(KASKADE)/requirements.lock

clean:
	@rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@rm -rf src/*.egg-info $(dir $(NODE_STAMPS))
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
