#!/bin/sh
# Every night: audit last night's sample and hold it against the run that was audited before the launch.
#
#   STEELYARD_BASELINE=runs/reviews/1a2b3c4d5e6f ./nightly.sh sample.yaml
#
# As a line of a crontab (cron mails what is printed, and nothing is printed while all is well):
#
#   17 3 * * *  cd /srv/audit && STEELYARD_BASELINE=runs/reviews/1a2b3c4d5e6f ./nightly.sh sample.yaml
#
# Exit codes are those of `steelyard gate`: 0 all is well, 1 it drifted, 2 something is to be mended, 3 unproven.
set -eu

config=${1:?usage: nightly.sh CONFIG, the audit of last night\'s sample}
baseline=${STEELYARD_BASELINE:?the directory of the audited run, as runs/reviews/1a2b3c4d5e6f}
baseline=${baseline%/}
state=${STEELYARD_STATE:-$baseline.evidence.jsonl} # keep it: it is what earlier nights have shown
policy=${STEELYARD_POLICY:-drift}
runs=${STEELYARD_RUNS:-nights}

# The audit's own verdict is not asked for: last night's sample may be too small for it.
told=$(steelyard audit "$config" --out "$runs" --quiet --exit-zero --json)
run=$(printf '%s' "$told" | python3 -c 'import json, sys; print(json.load(sys.stdin)["run"])')

code=0
told=$(steelyard gate "$run" --baseline "$baseline" --state "$state" --policy "$policy") || code=$?
if [ "$code" -ne 0 ]; then
    printf '%s\n' "$told"
fi
exit "$code"
