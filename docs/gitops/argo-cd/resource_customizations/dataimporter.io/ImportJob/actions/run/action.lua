local os = require("os")

-- With a second argument Argo CD's os.date is in the machine's zone, whatever the first one asks for: so the offset is part of what it says.
local function at(time)
  local zone = os.date("%z", time)
  return os.date("%Y-%m-%dT%H:%M:%S", time) .. zone:sub(1, 3) .. ":" .. zone:sub(4, 5)
end

-- A run of the job as it is now, for which an hour is left to start. It has no action, which means all of it: an empty table would become a list.
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
run.spec.startBefore = at(os.time() + 3600)

local impacted = {}
impacted.operation = "create"
impacted.resource = run
return {impacted}
