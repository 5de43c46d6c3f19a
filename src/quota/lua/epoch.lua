-- Tells which epoch this is; begins one when the server knows none, or is not the one it was begun on.
--
-- KEYS  1 epoch
-- ARGV  1 the id a new epoch would have, 2 the server's run id, 3 how long a new one stays closed (ms)
-- Reply id, opens in ms (0: it is open), now
local value = redis.call('GET', KEYS[1])
local id, server, opens
if value then id, server, opens = string.match(value, '^(%d+):([^:]*):(%d+)$') end
if not id or server ~= ARGV[2] then
  id, opens = ARGV[1], now + tonumber(ARGV[3])
  value = id .. ':' .. ARGV[2] .. ':' .. string.format('%.0f', opens)
end
-- Written anew each time, so that it lives as long as anybody beats.
redis.call('SET', KEYS[1], value, 'PX', 7 * DAY)
return {tonumber(id), max(0, tonumber(opens) - now), now}
