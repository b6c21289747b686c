local health = {}
local conditions = {}
if obj.status ~= nil and obj.status.conditions ~= nil then
  for _, condition in ipairs(obj.status.conditions) do
    conditions[condition.type] = condition
  end
end

local function is(status, condition)
  health.status = status
  health.message = condition.reason
  if condition.message ~= nil and condition.message ~= "" then
    health.message = condition.reason .. ": " .. condition.message
  end
  return health
end

if obj.spec.suspend == true then
  health.status = "Suspended"
  health.message = "spec.suspend is true"
  return health
end

-- What was said of an earlier spec says nothing of this one.
if conditions["Ready"] == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  health.status = "Progressing"
  health.message = "Nobody has looked at it yet"
  return health
end
if conditions["Stalled"] ~= nil and conditions["Stalled"].status == "True" then
  return is("Degraded", conditions["Stalled"])
end
if conditions["Ready"].status == "True" then
  return is("Healthy", conditions["Ready"])
end
return is("Progressing", conditions["Ready"])
