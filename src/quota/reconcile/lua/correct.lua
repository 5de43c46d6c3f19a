-- Corrects counters of calendar windows: the one script that may lower what nobody gives back.
--
-- KEYS  counters
-- ARGV  1 the epoch, 2 when the round was opened (ms), then per counter the start of the window, and by how much it is
--       changed
-- Reply per counter: 1, 0: it is in another window or epoch by now, or a later round was faster
local opened, reply = tonumber(ARGV[2]), {}
for i = 1, #KEYS do
  local counter = open(KEYS[i])
  local start, by = tonumber(ARGV[2 * i + 1]), tonumber(ARGV[2 * i + 2])
  local is_there = counter and counter[1] == tonumber(ARGV[1]) and counter[4] == start and (counter[6] or 0) < opened
  if is_there then
    amend(counter, 0, start, by)
    counter[6] = opened
    redis.call('SET', KEYS[i], cmsgpack.pack(unpack(counter)), 'KEEPTTL')
  end
  reply[i] = is_there and 1 or 0
end
return reply
