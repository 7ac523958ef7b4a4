import pytest

from llava_jax.instruct.grounding.language import sentences


def test_sentences_keep_their_places() -> None:
    text = "A dog sits.  Two cats don't!\nThe end"
    read = sentences(text)
    assert [sentence.text for sentence in read] == ["A dog sits.", "Two cats don't!", "The end"]
    for sentence in read:
        for token in sentence.tokens:
            assert text[token.start : token.end].lower() == token.word


@pytest.mark.parametrize(
    ("text", "word", "scope"),
    [
        ("A dog sits on the couch.", "couch", "asserted"),
        ("A dog could sit on the couch.", "dog", "hypothetical"),
        ("In the room, a dog may sleep.", "room", "asserted"),
        ("A dog can be seen on the couch.", "dog", "asserted"),
        ("The dog sits, possibly near a cat.", "dog", "asserted"),
        ("The dog sits, possibly near a cat.", "cat", "hypothetical"),
        ("He reaches out to catch a ball.", "ball", "hypothetical"),
        ("He stands next to the ball.", "ball", "asserted"),
        ("He walks without a dog.", "dog", "negated"),
        ("There is not a dog but a cat.", "cat", "asserted"),
        ("Cats often sleep on a couch.", "couch", "general"),
        ("Wearing a helmet protects the head.", "helmet", "general"),
        ("It looks like a cat.", "cat", "hypothetical"),
        ("Things such as a cat.", "cat", "hypothetical"),
    ],
)
def test_scope_of_a_word(text: str, word: str, scope: str) -> None:
    (sentence,) = sentences(text)
    assert sentence.scopes[sentence.words.index(word)] == scope


def test_a_frame_says_what_is_seen() -> None:
    assert sentences("The image shows dogs.")[0].framed
    assert sentences("Dogs are visible.")[0].framed
    assert not sentences("Dogs love their owners.")[0].framed
