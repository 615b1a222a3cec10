-- wrk sends the request of the file that REQUEST names (its bytes, as stream.c sends them) and prints one line of JSON.
local file = assert(io.open(os.getenv("REQUEST"), "rb"))
local head, body = file:read("*a"):match("^(.-)\r\n\r\n(.*)$")
file:close()
wrk.method, wrk.body = "POST", body
for name, value in head:gmatch("\r\n([^:\r\n]+): ([^\r\n]*)") do
    if name ~= "host" and name ~= "content-length" then wrk.headers[name] = value end
end

function done(summary, latency)
    local e = summary.errors
    io.write(string.format(
        '\n{"requests": %d, "seconds": %.4f, "errors": %d, "p50_us": %.1f, "p99_us": %.1f}\n',
        summary.requests, summary.duration / 1e6, e.connect + e.read + e.write + e.status + e.timeout,
        latency:percentile(50), latency:percentile(99)))
end
