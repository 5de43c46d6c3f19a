#!lua
-- Tells the other proxies what this one found out of offers and credentials, and hears what they did.
--
-- KEYS  1 the board: how many changes there were, and what stands: subject to {change, from, until, openings,
--         successes, at}
--       2 who lives and who asks for trials: proxy to {last beat, when it asked last, since when it asks}
-- ARGV  1 this proxy, 2 the last change it knows, 3 whether it asks for trials,
--       4.. what is new, five each: subject, until (ms, 0: closed), openings, successes, when (ms)
-- Reply texts: the last change, how many live, how many ask, this one's place among them (0: it does not, or not long
--       enough for all others to know), and what others changed, five each as above
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local LIVES, ASKS, KNOWN = 3000, 5000, 600

local function get(key)
  local packed = redis.call('GET', key)
  return packed and cmsgpack.unpack(packed) or nil
end
local function text(number) return string.format('%.0f', number) end

local board = get(KEYS[1]) or {0, {}}
local last, stands, is_changed = board[1], board[2], false
for i = 4, #ARGV, 5 do
  local subject, till, at = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 4])
  local known = stands[subject]
  -- Of a breaker the latest word counts, of a cool-down the longest.
  local is_news = not known
  if known and string.sub(subject, 1, 1) == 'b' then is_news = at > known[6]
  elseif known then is_news = till > known[3] end
  if is_news then
    last = last + 1
    stands[subject] = {last, ARGV[1], till, tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3]), at}
    is_changed = true
  end
end
-- A word that is over is kept for as long as somebody may not have heard it.
for subject, known in pairs(stands) do
  if math.max(known[3], known[6]) + 3600000 < now then
    stands[subject] = nil
    is_changed = true
  end
end
if is_changed then redis.call('SET', KEYS[1], cmsgpack.pack({last, stands}), 'PX', 172800000) end

local all = get(KEYS[2]) or {}
local mine = all[ARGV[1]] or {now, 0, 0}
mine[1] = now
if ARGV[3] == '1' then
  if now - mine[2] > ASKS then mine[3] = now end
  mine[2] = now
end
all[ARGV[1]] = mine
local living, asking = 0, {}
for proxy, one in pairs(all) do
  if now - one[1] > LIVES or one[1] > now then all[proxy] = nil
  else
    living = living + 1
    if now - one[2] <= ASKS then asking[#asking + 1] = proxy end
  end
end
redis.call('SET', KEYS[2], cmsgpack.pack(all), 'PX', 60000)
table.sort(asking)
local place = 0
for i, proxy in ipairs(asking) do
  if proxy == ARGV[1] and now - mine[3] >= KNOWN then place = i end
end

local reply = {text(last), text(living), text(#asking), text(place)}
local seen = tonumber(ARGV[2])
-- A board that was lost begins anew.
if seen > last then seen = 0 end
for subject, known in pairs(stands) do
  if known[1] > seen and known[2] ~= ARGV[1] then
    reply[#reply + 1] = subject
    for field = 3, 6 do reply[#reply + 1] = text(known[field]) end
  end
end
return reply
