"""What attacks share: how pictures are crafted, what an attack may see of its victim, what it must not judge on."""
