local ended = false
if obj.status ~= nil and obj.status.conditions ~= nil then
  for _, condition in ipairs(obj.status.conditions) do
    if condition.type == "Succeeded" and condition.status ~= "Unknown" then
      ended = true
    end
  end
end

local actions = {}
actions["cancel"] = {["disabled"] = ended or obj.spec.cancel == true}
return actions
