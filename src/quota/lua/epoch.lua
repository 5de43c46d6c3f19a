-- Tells which epoch this is; begins one when the server knows none, is not the one it was begun on, or may have let
-- everything expire. Lets the clock count as heard, unless it moved since the last beat by more than is left to chance: then the proxy says how much
-- time truly passed, and what the clock jumped beyond that rings and leases never see.
--
-- KEYS  1 epoch, 2 number
-- ARGV  1 the id a new epoch would have, 2 the server's run id, 3 how long a new one stays closed (ms)
--       4 the clock at the last beat as this proxy was told, 0 at first, 5 the clock when it was told,
--       6 how much time passed between the two (ms)
-- Reply id, opens in ms (0: it is open), shift, the clock at the last beat when that is in doubt, else 0
local value, grace = redis.call('GET', KEYS[1]), tonumber(ARGV[3])
local id, server, shift, opens, seen
if value then id, server, shift, opens, seen = string.match(value, '^(%d+):([^:]*):(-?%d+):(%d+):(%d+)$') end
shift, opens, seen = tonumber(shift or 0), tonumber(opens or 0), tonumber(seen or now)
if not id or server ~= ARGV[2] then
  -- Another server's clock is not compared with: every ring is made known anew.
  id, seen = ARGV[1], now
  opens = now - shift + grace
end
local is_told = seen == tonumber(ARGV[4]) and math.abs(now - tonumber(ARGV[5])) <= UNHEARD
if is_unheard(seen) and is_told then
  local jump = tonumber(ARGV[5]) - seen - tonumber(ARGV[6])
  shift, seen = shift + jump, now
  -- What expires by this clock may be gone.
  if jump > OUTLIVE then id, opens = ARGV[1], now - shift + grace end
end
local doubt = is_unheard(seen) and seen or 0
if doubt == 0 then seen = now end
tick = now - shift
-- Once open it stays open.
opens = opens > tick and opens or 0
-- Written anew each time, so that it lives as long as anybody beats.
value = id .. ':' .. ARGV[2] .. string.format(':%.0f:%.0f:%.0f', shift, opens, seen)
redis.call('SET', KEYS[1], value, 'PX', 7 * DAY)
return answer(KEYS[2], {tonumber(id), max(0, opens - tick), shift, doubt})
