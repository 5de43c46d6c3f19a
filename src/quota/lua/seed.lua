-- Makes counters known in this epoch: what the books say plus what proxies asserted. Never lowers one.
--
-- KEYS  1 epoch, 2 number, 3.. counters
-- ARGV  1 the epoch as the proxy knows it
--       2 one JSON list of whole numbers, four per counter: width, what the books say, start and end of the window
--         they were asked for (0 for rings)
-- Reply 1: how many were seeded   5 epoch   6 opens in ms
local epoch, opens = epoch_of(redis.call('GET', KEYS[1]), ARGV[1])
if not epoch then return answer(KEYS[2], {5}) end
if tick < opens then return answer(KEYS[2], {6, opens - tick}) end
local n = cjson.decode(ARGV[2])
local seeded = 0

for i = 3, #KEYS do
  local b = (i - 3) * 4
  local width, books, start, stop = n[b + 1], n[b + 2], n[b + 3], n[b + 4]
  local slot = width > 0 and floor(tick / width) or start
  local counter = open(KEYS[i]) or fresh(width, slot)
  if counter[1] ~= epoch and (width > 0 or (now >= start and now < stop)) then
    local ttl = 24 * width + DAY
    local used
    if width > 0 then used = roll_ring(counter, width, tick)
    else
      used = roll_window(counter, start, stop)
      ttl = stop - now + DAY
    end
    local asserted = counter[2] == epoch and counter[3] or 0
    -- Nobody knows in which slots the books' calls were: all of a ring counts from now on.
    if width > 0 then for i = 5, 29 do counter[i] = 0 end end
    counter[width > 0 and 5 + counter[4] % 25 or 5] = max(used, books + asserted)
    counter[1], counter[2], counter[3] = epoch, 0, 0
    keep(KEYS[i], counter, ttl)
    seeded = seeded + 1
  end
end
return answer(KEYS[2], {1, seeded})
