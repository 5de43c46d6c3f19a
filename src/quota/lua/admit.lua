-- Admits a call, or moves a hold to another candidate: all or nothing. A denied call changes nothing.
--
-- KEYS  1 epoch, 2 number, 3 the hold's record, 4.. counters: first the tenant's, in the order of its limits
-- ARGV  1 the epoch as the proxy knows it, 'id:server:'
--       2 one JSON list of whole numbers: is adjust, lease ms, tenant counters T, counters K, bids B, what the
--         failed attempt used (requests, input, output, nano-dollars); then per counter: meter, width, lead,
--         amount, is shadow, start, end of the current window, end of the next; then per bid: T tenant amounts,
--         number of own charges, and per own charge: which counter, amount; at the very end the credits of the
--         failed attempt. A counter that 'is shadow' by 2 is an organization's part of the allowance charged before it
-- Reply 1 held: bid, shadowed   2 denied: limit, wait ms   3 full: 0, wait ms   4 too large: limit, 0
--       (these four are followed by remaining and ms to reset per tenant limit)
--       5 epoch   6 opens in ms   7 unseeded: counters…   8 clock   9 ended before   10 unknown hold
-- No bids: the standings alone, as reply 2 for limit 0.

-- All at once: each word with Redis costs more than a counter that turns out not to be needed.
local found = redis.call('MGET', unpack(KEYS))
local function tell(reply) return answer(KEYS[2], reply, found[2] or 0) end
local epoch, opens = epoch_of(found[1], ARGV[1])
if not epoch then return tell({5}) end
if tick < opens then return tell({6, opens - tick}) end

local n = cjson.decode(ARGV[2])
local is_adjust, lease, T, K, B = n[1] == 1, n[2], n[3], n[4], n[5]
local NEVER = 9e15
local record = B > 0 and found[3]
local before
if record then
  if sub(record, 1, 1) ~= 'H' then return tell({9}) end
  before = unpack_record(record)
elseif is_adjust then
  return tell({10})
end

local counters, used, stops, unseeded, skewed = {}, {}, {}, false, false

local function load(k)
  if counters[k] then return true end
  local b = 9 + (k - 1) * 8
  local width, lead = n[b + 2], n[b + 3]
  local counter, is_put_back = unpack_counter(found[3 + k]), false
  if n[b + 5] == 2 then counter = share_of(counter, epoch, width, n[b + 6]) end
  if lead > 0 then
    counter = counter or fresh(width, floor((tick + lead) / width))
    used[k], is_put_back = roll_ring(counter, width, tick + lead)
  elseif not counter or counter[1] ~= epoch then
    unseeded = true
    return false
  elseif width > 0 then
    used[k], is_put_back = roll_ring(counter, width, tick)
  else
    local start, stop, after = n[b + 6], n[b + 7], n[b + 8]
    if now < start or now >= after then skewed = true return false end
    if now >= stop then start, stop = stop, after end
    used[k], is_put_back = roll_window(counter, start, stop)
    -- The clock was put back a little, into the window before: when this one ends must be offered, too.
    if counter[4] >= after then skewed = true return false end
    stops[k] = counter[4] == start and stop or after
  end
  counters[k] = counter
  -- Kept even when the call is denied: the next one comes later, and must not begin from the jump again.
  if is_put_back then redis.call('SET', KEYS[3 + k], cmsgpack.pack(unpack(counter)), 'KEEPTTL') end
  return true
end

local function name_unseeded()
  local reply = {7}
  for k = 1, K do
    if n[9 + (k - 1) * 8 + 3] == 0 and n[9 + (k - 1) * 8 + 5] ~= 2 then
      local counter = unpack_counter(found[3 + k])
      if not counter or counter[1] ~= epoch then reply[#reply + 1] = k end
    end
  end
  return tell(reply)
end

for k = 1, T do load(k) end
if skewed then return tell({8}) end
if unseeded then return name_unseeded() end

-- A replayed admission is answered as it was.
if before and not is_adjust then B = 0 end

-- What the hold has on each tenant counter now, and where.
local base, slots = {}, {}
if is_adjust then
  for k = 1, T do
    local r = 2 + (k - 1) * 6
    local counter, slot = counters[k], before[r + 5]
    local is_counted = counter[4] == slot
    if before[r + 4] > 0 then is_counted = slot > counter[4] - 25 end
    slots[k], base[k] = slot, before[r + 6]
    -- The window of the admission is over: nothing in a newer one is charged for it.
    if not is_counted then used[k] = nil end
  end
end

-- What the failed candidate gave back, and under which key.
local function spent_by(meter)
  if meter == 0 then return n[6] end
  if meter == 1 then return n[7] end
  if meter == 2 then return n[8] end
  if meter == 3 then return n[7] + n[8] end
  if meter == 4 then return n[9] end
  if meter == 6 then return n[#n] end
  return 0
end
local returned = {}
if is_adjust then
  for r = 3, #before, 6 do
    if before[r + 2] == 1 then
      returned[#returned + 1] = {before[r], before[r + 3], before[r + 4], spent_by(before[r + 1]) - before[r + 5]}
    end
  end
end
local function given_back(k)
  local sum = 0
  for _, back in ipairs(returned) do
    local newest = counters[k][4]
    local is_counted = back[2] == 0 and newest == back[3] or back[2] > 0 and back[3] > newest - 25
    if back[1] == KEYS[3 + k] and is_counted then sum = sum + back[4] end
  end
  return sum
end

-- How long until `need` more fits counter `k`, in ms: 0 now, NEVER if it never can.
local function wait_for(k, need)
  local b = 9 + (k - 1) * 8
  local width, lead, amount = n[b + 2], n[b + 3], n[b + 4]
  local have = used[k]
  if not have or n[b + 5] ~= 0 then return 0 end
  local over = have - (base[k] or 0) + need - amount
  if over <= 0 or (base[k] and need <= base[k]) then return 0 end
  if need > amount and amount > 0 then return NEVER end
  if lead > 0 then return 250 end
  if width == 0 then return stops[k] - now end
  local counter = counters[k]
  for slot = counter[4] - 24, counter[4] do
    over = over - counter[5 + slot % 25]
    if over <= 0 then return (slot + 25 - (counter[30] or 0)) * width - tick end
  end
  return 25 * width
end

-- How long until an organization may have `need` more of allowance `k`, of which it has its part on counter `j`. Who
-- asked lately shares it: above its equal part of the whole nobody takes what would leave another without theirs.
local asked = {}
local function wait_for_turn(k, j, need)
  local b, whole = 9 + (k - 1) * 8, KEYS[3 + k]
  local lately = horizon_of(n[b + 2], n[b + 7] - n[b + 6])
  local own = sub(KEYS[3 + j], #whole + 2)
  local asking = asked[k] or who_asks(whole, own, lately)
  asked[k] = asking
  if #asking == 0 or n[b + 5] == 1 then return 0 end
  local amount = n[b + 4]
  local part = floor(amount / (#asking + 1))
  if (used[j] or 0) - (base[j] or 0) + need <= part then return 0 end
  local kept, soonest = 0, lately
  for _, other in ipairs(asking) do
    kept = kept + max(0, part - used_by(whole .. ':' .. other[1], n[b + 2], counters[k][4], stops[k]))
    soonest = min(soonest, max(1, lately - (now - other[2])))
  end
  if (used[k] or 0) + need + kept <= amount then return 0 end
  return soonest
end

local chosen, own_at, needs_at, best, best_limit, fits_tenant
local p = 9 + K * 8
for bid = 1, B do
  local tenant_wait, limit, own_wait = 0, 0, 0
  for k = 1, T do
    local wait = wait_for(k, n[p + k])
    if wait > tenant_wait then tenant_wait, limit = wait, k end
  end
  local m = n[p + T + 1]
  for o = p + T + 2, p + T + 2 * m, 2 do
    local k = n[o]
    if not load(k) then
      if skewed then return tell({8}) end
      return name_unseeded()
    end
    local need = n[o + 1] + (is_adjust and given_back(k) or 0)
    local wait = wait_for(k, need)
    if n[9 + (k - 1) * 8 + 5] == 2 and tenant_wait == 0 then
      wait = max(wait, wait_for_turn(n[o - 2], k, need))
    end
    if wait > own_wait then own_wait = wait end
  end
  local wait = max(tenant_wait, own_wait)
  if wait == 0 then
    chosen, needs_at, own_at = bid, p, p + T + 2
    break
  end
  if limit == 0 then fits_tenant = true end
  if not best or wait < best then best, best_limit = wait, limit end
  p = p + T + 1 + 2 * m
end

local function ttl_of(k)
  local b = 9 + (k - 1) * 8
  if n[b + 3] > 0 then return 2 * n[b + 3] + OUTLIVE end
  if n[b + 2] > 0 then return 24 * n[b + 2] + DAY end
  return stops[k] - now + DAY
end

local shadowed = 0
if chosen then
  local list = {epoch, chosen}
  local touched = {}
  local function charge(k, is_own, amount)
    local b = 9 + (k - 1) * 8
    local counter, width = counters[k], n[b + 2]
    local slot = counter[4]
    local by = amount
    if is_own == 0 and is_adjust then slot, by = slots[k], amount - base[k] end
    if n[b + 5] == 1 and used[k] and used[k] + by > n[b + 4] then shadowed = shadowed + 1 end
    if by ~= 0 then
      amend(counter, width, slot, by)
      touched[k] = true
      if used[k] then used[k] = used[k] + by end
    end
    local r = #list
    list[r + 1], list[r + 2], list[r + 3] = KEYS[3 + k], n[b + 3] > 0 and IN_FLIGHT or n[b + 1], is_own
    list[r + 4], list[r + 5], list[r + 6] = width, slot, amount
  end
  for k = 1, T do charge(k, 0, n[needs_at + k]) end
  for o = own_at, own_at + 2 * n[own_at - 1] - 2, 2 do charge(n[o], 1, n[o + 1]) end
  for _, back in ipairs(returned) do
    local k
    for i = T + 1, K do if KEYS[3 + i] == back[1] and counters[i] then k = i end end
    local counter = k and counters[k] or open(back[1])
    if counter and back[4] ~= 0 then
      amend(counter, back[2], back[3], back[4])
      if k then touched[k] = true
      else redis.call('SET', back[1], cmsgpack.pack(unpack(counter)), 'KEEPTTL') end
    end
  end
  for k in pairs(touched) do keep(KEYS[3 + k], counters[k], ttl_of(k)) end
  keep_record(KEYS[3], list)
end

local reply
if chosen then reply = {1, chosen, shadowed}
elseif before and not is_adjust then reply = {1, before[2], 0}
elseif not best then reply = {2, 0, 0}
elseif best < NEVER then reply = {best_limit > 0 and 2 or 3, best_limit, best}
elseif fits_tenant then reply = {3, 0, DAY}
else reply = {4, best_limit, 0} end

for k = 1, T do
  local b = 9 + (k - 1) * 8
  local counter, reset = counters[k], 0
  if n[b + 2] == 0 then reset = stops[k] - now
  elseif n[b + 3] == 0 then
    for slot = counter[4], counter[4] - 24, -1 do
      if counter[5 + slot % 25] > 0 then reset = (slot + 25 - (counter[30] or 0)) * n[b + 2] - tick break end
    end
  end
  reply[2 + 2 * k] = max(0, n[b + 4] - (used[k] or 0))
  reply[3 + 2 * k] = reset
end
return tell(reply)
