-- What wrk sends, and what it says at the end. Arguments: a file with one request a line ("path" or "path<TAB>token"),
-- then the mean pause of a connection between two requests in milliseconds (0: none).
local requests = {}
local at = 0

function init(arguments)
  for line in io.lines(arguments[1]) do
    local path, token = line:match("^(%S+)\t?(%S*)$")
    local headers = {}
    if token ~= "" then headers["Authorization"] = "Bearer " .. token end
    requests[#requests + 1] = wrk.format("GET", path, headers)
  end
  local meanMs = tonumber(arguments[2])
  math.randomseed(os.time())
  if meanMs > 0 then
    delay = function() return math.random(0, 2 * meanMs) end
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"micros":%d,"p50Micros":%d,"p99Micros":%d,"maxMicros":%d,'
      .. '"errors":{"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency.max,
    errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
