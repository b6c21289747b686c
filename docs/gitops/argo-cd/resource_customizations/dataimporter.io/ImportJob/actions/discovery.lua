local actions = {}
local suspended = obj.spec.suspend == true
actions["run"] = {["disabled"] = false}
actions["suspend"] = {["disabled"] = suspended}
actions["resume"] = {["disabled"] = not suspended}
return actions
