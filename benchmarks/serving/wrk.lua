-- Cycles through the bodies of a file, one a line, and prints the figures as JSON.

local requests = {}
local count, position = 0, 0

function init(arguments)
  local headers = { ["Content-Type"] = "application/json" }
  for body in io.lines(arguments[1]) do
    count = count + 1
    requests[count] = wrk.format("POST", nil, headers, body)
  end
end

function request()
  position = position % count + 1
  return requests[position]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    'figures {"requests": %d, "microseconds": %d, "refused": %d, "unanswered": %d, "p50": %.1f, "p99": %.1f}\n',
    summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99)
  ))
end
