"""Three pictures with two references each, for which COCO's own code gave numbers."""

SAID = ("a red car parked on the street", "two dogs play in the park", "a man riding a bicycle down the road")
REFERENCES = (
    ("a red car parked on the street next to a tree", "a red car is parked on the street"),
    ("two dogs play in the park on a sunny day", "two dogs run on the green grass"),
    ("a man riding a bicycle down the street", "a man rides a bike down the street"),
)
TOKENS = [said.split() for said in SAID]
WANTED = [[one.split() for one in each] for each in REFERENCES]
