-- Sends the requests of a file in turn, over and over. One line each: path, blank, token.
local requests, at = {}, 0

function init(args)
  for line in io.lines(args[1]) do
    local path, token = line:match("^(%S+) (%S+)$")
    requests[#requests + 1] = wrk.format("GET", path, { ["Authorization"] = "Bearer " .. token })
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end
