-- Tells which epoch this is; begins one when the server knows none, or is not the one it was begun on.
--
-- KEYS  1 epoch, 2 number
-- ARGV  1 the id a new epoch would have, 2 the server's run id, 3 how long a new one stays closed (ms)
-- Reply id, opens in ms (0: it is open)
local value = redis.call('GET', KEYS[1])
local id, server, opens
if value then id, server, opens = string.match(value, '^(%d+):([^:]*):(%d+)$') end
if not id or server ~= ARGV[2] then
  id, opens = ARGV[1], now + tonumber(ARGV[3])
end
-- Once open it stays open, and a clock that is put back closes it for no longer than if it had just begun.
opens = tonumber(opens)
opens = opens > now and math.min(opens, now + tonumber(ARGV[3])) or 0
value = id .. ':' .. ARGV[2] .. ':' .. string.format('%.0f', opens)
-- Written anew each time, so that it lives as long as anybody beats.
redis.call('SET', KEYS[1], value, 'PX', 7 * DAY)
return answer(KEYS[2], {tonumber(id), max(0, opens - now)})
