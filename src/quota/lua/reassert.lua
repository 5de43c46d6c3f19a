-- Tells a Redis that lost its memory which charges are not in the books yet. Idempotent in one epoch.
--
-- KEYS  1 epoch, then per hold: its record, its counters
-- ARGV  1 the epoch as the proxy knows it
--       2 one JSON list of whole numbers, per hold: is settled, when it was admitted (ms), charges; then per charge:
--         meter, is own, width, lead, amount, start and end of the window it was admitted in (0 for rings)
-- Reply 1: how many were unknown   5 epoch
local epoch = epoch_of(redis.call('GET', KEYS[1]), ARGV[1])
if not epoch then return {5} end
local n = cjson.decode(ARGV[2])
local unknown = 0

-- A charge that waits until its counter is seeded.
local function await(key, counter, width, slot, stop, amount)
  if width == 0 then roll_window(counter, slot, stop) end
  if width == 0 and counter[4] ~= slot then return end
  if counter[2] ~= epoch then counter[2], counter[3] = epoch, 0 end
  counter[3] = counter[3] + amount
  keep(key, counter, width > 0 and 24 * width + DAY or stop - now + DAY)
end

local function assert_charge(key, b, at, is_known, is_settled)
  local width, lead, amount, start, stop = n[b + 2], n[b + 3], n[b + 4], n[b + 5], n[b + 6]
  local counter = open(key)
  if lead > 0 then
    local slot = floor((now + lead) / width)
    if is_known or is_settled then return slot end
    counter = counter or fresh(width, slot)
    roll_ring(counter, slot)
    amend(counter, width, counter[4], amount)
    keep(key, counter, 2 * lead)
    return counter[4]
  end
  local slot = width > 0 and floor(at / width) or start
  local is_over = now >= stop
  if width > 0 then is_over = slot <= floor(now / width) - 25 end
  if amount == 0 or is_over then return slot end
  if not counter or counter[1] ~= epoch then
    await(key, counter or fresh(width, slot), width, slot, stop, amount)
  elseif not is_known then
    local ttl = 24 * width + DAY
    if width > 0 then roll_ring(counter, floor(now / width)) else
      roll_window(counter, start, stop)
      ttl = stop - now + DAY
    end
    amend(counter, width, slot, amount)
    keep(key, counter, ttl)
  end
  return slot
end

local k, p = 2, 0
while k <= #KEYS do
  local is_settled, at, m = n[p + 1] == 1, n[p + 2], n[p + 3]
  local key, record = KEYS[k], redis.call('GET', KEYS[k])
  local kind = record and sub(record, 1, 1)
  local known = kind == 'H' and unpack_record(record) or nil
  local is_done = kind == 'X'
    or (kind == 'S' and tonumber(sub(record, 2)) == epoch)
    or (known and known[1] == epoch)
  if not is_done then
    local list = known or {epoch, 1}
    list[1] = epoch
    for c = 1, m do
      local b, r = p + 3 + (c - 1) * 7, 2 + (c - 1) * 6
      -- A record that survived says what its counters hold; the proxy's own truth follows when it settles.
      if known and known[r + 1] == KEYS[k + c] then n[b + 5] = known[r + 6] end
      local slot = assert_charge(KEYS[k + c], b + 1, at, kind, is_settled)
      if not known then
        list[r + 1], list[r + 2], list[r + 3] = KEYS[k + c], n[b + 4] > 0 and IN_FLIGHT or n[b + 1], n[b + 2]
        list[r + 4], list[r + 5], list[r + 6] = n[b + 3], slot, n[b + 5]
      end
    end
    if kind == 'S' or (is_settled and not known) then
      redis.call('SET', key, 'S' .. string.format('%.0f', epoch), 'PX', 10 * ENDED)
    else
      keep_record(key, list)
    end
    if not record then unknown = unknown + 1 end
  end
  k, p = k + 1 + m, p + 3 + m * 7
end
return {1, unknown}
