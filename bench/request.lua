-- One request for wrk, by environment: METHOD, BODY, TARGET, and IDS to be taken in turn.
local ids = {}
for id in (os.getenv("IDS") or ""):gmatch("%S+") do ids[#ids + 1] = id end
local method, body, target = os.getenv("METHOD"), os.getenv("BODY"), os.getenv("TARGET")
if body == "" then body = nil end
local turn = 0

function request()
  local path = target
  if #ids > 0 then
    turn = turn % #ids + 1
    path = target .. ids[turn]
  end
  return wrk.format(method, path, nil, body)
end
