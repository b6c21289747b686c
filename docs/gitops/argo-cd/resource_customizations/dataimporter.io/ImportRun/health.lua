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

-- A run that has ended stays as it is, whatever becomes of what it needed.
local ended = conditions["Succeeded"]
if ended ~= nil and ended.status == "True" then
  return is("Healthy", ended)
end
if ended ~= nil and ended.status == "False" then
  return is("Degraded", ended)
end
if conditions["Ready"] == nil then
  health.status = "Progressing"
  health.message = "Nobody has looked at it yet"
  return health
end
return is("Progressing", conditions["Ready"])
