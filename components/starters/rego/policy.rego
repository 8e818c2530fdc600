# @NAME@: batches go out while the uplink is up, and are kept while it isn't; a point above its high limit is an alert.
package twinloop

import rego.v1

default decision := {"verdict": {"forward": 1}, "except": []}

# At configure the policy is asked once with {"configure": [[option, value], ...]}. It may refuse; this one takes no options.
decision := {"refuse": {"unknown-option": input.configure[0][0]}}

decision := {"verdict": verdict, "except": alerts} if input.batch

verdict := {"forward": 1} if input.uplink.up

verdict := {"cache": 1} if not input.uplink.up

alerts := [{"point": r.point, "verdict": {"alert": "above its high limit"}} |
	some r in input.batch.readings
	r.status < 2147483648 # not Bad
	r.value > data.points[format_int(r.point, 10)].high
]
