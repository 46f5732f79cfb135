-- One request, over and over: METHOD, TARGET, and the body that is in the file BODY, if any.
local body
if os.getenv("BODY") ~= "" then
  local file = assert(io.open(os.getenv("BODY"), "rb"))
  body = file:read("*a")
  file:close()
end
local asked

function init(args)
  asked = wrk.format(os.getenv("METHOD"), os.getenv("TARGET"), wrk.headers, body)
end

function request()
  return asked
end
