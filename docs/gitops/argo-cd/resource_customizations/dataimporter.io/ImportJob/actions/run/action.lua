local os = require("os")

-- What the clock shows in UTC, an hour later. Argo CD's os.date is in the machine's zone when it is told a time, and there is no library for
-- texts: so a time is made whose local clock shows that.
local now = os.date("!*t")
local later = os.time({year = now.year, month = now.month, day = now.day, hour = now.hour + 1, min = now.min, sec = now.sec})

-- A run of the job as it is now, for which that hour is left to start. It has no action, which means all of it: an empty table would become a list.
local run = {}
run.apiVersion = obj.apiVersion
run.kind = "ImportRun"
run.metadata = {}
run.metadata.name = obj.metadata.name .. "-" .. os.date("!%Y%m%d%H%M%S")
run.metadata.namespace = obj.metadata.namespace
run.spec = {}
run.spec.jobRef = {}
run.spec.jobRef.name = obj.metadata.name
run.spec.jobRef.uid = obj.metadata.uid
run.spec.startBefore = os.date("%Y-%m-%dT%H:%M:%SZ", later)

local impacted = {}
impacted.operation = "create"
impacted.resource = run
return {impacted}
