-- One wrk thread that sends numbered prompts.
-- Arguments: body of the request with number 0, first number, how many numbers make a cycle, how many requests to send (0: until
-- the time is up), idle path, path.
-- A limited run sends exactly that many prompts and ends when each of them is answered, or when one is refused. Connections
-- that have nothing left to send ask the idle path meanwhile, since wrk cannot hold them.
local ffi = require("ffi")
ffi.cdef([[
  typedef struct { long s; long us; } moment;
  int gettimeofday(moment *now, void *zone);
  int getpid(void);
  int kill(int pid, int signal);
]])

local SETTLED_S = 0.1 -- by then wrk's main thread waits for its signal; before, the signal would end wrk or be lost
local now = ffi.new("moment")
local first, cycle, total, before, after, idle, measured
local called, sent, began = false, 0, nil
completed, refused, took = 0, 0, 0 -- global, so that done() can ask the thread for them

local function clock()
  ffi.C.gettimeofday(now, nil)
  return tonumber(now.s) + tonumber(now.us) / 1e6
end

local function count(status, headers, body)
  if status ~= 200 then
    refused = refused + 1
  elseif string.find(body, '"choices"', 1, true) then
    completed = completed + 1
    if completed == total then took = clock() - began end
  end
  if (completed >= total or refused > 0) and clock() - began > SETTLED_S then
    ffi.C.kill(ffi.C.getpid(), 2) -- wakes wrk's main thread, which else sleeps until the time is up
  end
end

function setup(thread)
  measured = thread
end

function init(args)
  first, cycle, total = tonumber(args[2]), tonumber(args[3]), tonumber(args[4])
  local headers = {["Content-Type"] = "application/json", ["Host"] = wrk.headers["Host"]}
  local whole = wrk.format("POST", args[6], headers, args[1])
  local from, to = string.find(whole, "000000000000", 1, true)
  before, after = string.sub(whole, 1, from - 1), string.sub(whole, to + 1)
  idle = wrk.format("GET", args[5])
  if total > 0 then response = count end
end

function request()
  -- wrk calls this once before the run, to see whether requests are pipelined, and throws the result away.
  if not called or (total > 0 and sent == total) then
    called = true
    return idle
  end
  began = began or clock()
  sent = sent + 1
  return before .. string.format("%012d", first + (sent - 1) % cycle) .. after
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"seconds":%.6f,"p50_ms":%.4f,"p99_ms":%.4f,"completed":%d,"took":%.6f,"refused":%d,"broken":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    measured:get("completed"), measured:get("took"), math.max(errors.status, measured:get("refused")),
    errors.connect + errors.read + errors.write + errors.timeout))
end
