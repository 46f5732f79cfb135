-- Sends the requests of the file REQUESTS, as they stand there, in turn; COUNT of them, or until the
-- time is up. They are told apart by the byte 30, which no request has.
local requests, sent = {}, 0
local most = tonumber(os.getenv("COUNT")) or math.huge

function init()
  local file = io.open(os.getenv("REQUESTS"), "rb")
  for one in file:read("*a"):gmatch("[^\30]+") do requests[#requests + 1] = one end
  file:close()
end

function request()
  sent = sent + 1
  return requests[(sent - 1) % #requests + 1]
end

-- wrk itself goes on to the end of its time when a thread stops.
if most < math.huge then
  local answered = 0
  function response(status)
    answered = answered + 1
    if status >= 300 then os.exit(1) end
    if answered == most then os.exit(0) end
  end
end
