"""The reference problem once more, sample by sample in plain Python, with the numbers drawn handed in."""

from statistics import fmean, pstdev


def slow_epoch(parameters, prompts, drawn, noise, method, buffers):
    """One epoch: the new parameters, and the mean reward. `buffers`: each prompt's rewards, updated."""
    rewards, moves = [], []
    for prompt, standard in zip(drawn, noise, strict=True):
        move = prompts["scale"][prompt] * standard
        sample = parameters[prompts["slot"][prompt]] + move
        moves.append(move)
        rewards.append(-abs(sample - prompts["label"][prompt]))
    advantages = slow_advantages(drawn, rewards, method, buffers)
    updates = {}
    for prompt, move, advantage in zip(drawn, moves, advantages, strict=True):
        slot = prompts["slot"][prompt]
        updates[slot] = advantage * move + (updates.get(slot, 0.0) if method.accumulate else 0.0)
    new = [value + updates.get(slot, 0.0) for slot, value in enumerate(parameters)]
    return new, fmean(rewards)


def slow_advantages(drawn, rewards, method, buffers):
    """Advantages by a dictionary of lists (tracker buffer) or by the batch."""
    before = {prompt: list(buffer) for prompt, buffer in buffers.items()}
    for prompt, reward in zip(drawn, rewards, strict=True):
        buffers[prompt] = [*buffers.get(prompt, []), reward][-method.buffer_size :]
    known = before if method.statistics == "before" else buffers
    advantages = []
    for prompt, reward in zip(drawn, rewards, strict=True):
        own = known.get(prompt, [])
        used = own if method.tracker == "buffer" and len(own) >= method.min_count else rewards
        advantages.append((reward - fmean(used)) / (pstdev(used) + method.eps))
    return advantages
