import pytest

from services.retriever.searching.fusion import reciprocal_rank_fusion


def test_fusion_matches_the_table_worked_by_hand() -> None:
    dense = [(7, 0.9), (3, 0.8), (5, 0.1)]
    words = [(3, 12.0), (9, 4.0)]
    # passage   rank dense   rank words   score with k = 60
    # 3         2            1            1/62 + 1/61 = 0.0325225
    # 7         1            -            1/61        = 0.0163934
    # 9         -            2            1/62        = 0.0161290
    # 5         3            -            1/63        = 0.0158730
    fused = reciprocal_rank_fusion([dense, words])
    assert [position for position, _ in fused] == [3, 7, 9, 5]
    assert [score for _, score in fused] == pytest.approx([0.0325225, 0.0163934, 0.0161290, 0.0158730], abs=1e-7)


def test_the_constant_weighs_the_first_ranks() -> None:
    first_once, second_twice = [(1, 1.0), (2, 0.5)], [(3, 1.0), (2, 0.5)]
    # k = 0: 1 and 3 score 1, 2 scores 1/2 + 1/2 = 1; the tie goes to the lower position
    assert [position for position, _ in reciprocal_rank_fusion([first_once, second_twice], k=0)] == [1, 2, 3]
    # k = 60: being second twice (2/62) beats being first once (1/61)
    assert reciprocal_rank_fusion([first_once, second_twice])[0][0] == 2


def test_scores_do_not_count_only_ranks_do() -> None:
    small, large = [(1, 0.002), (2, 0.001)], [(1, 9000.0), (2, 1.0)]
    assert reciprocal_rank_fusion([small, small]) == reciprocal_rank_fusion([large, large])


def test_an_empty_ranking_leaves_the_other_order() -> None:
    assert [position for position, _ in reciprocal_rank_fusion([[(4, 0.3), (2, 0.2)], []])] == [4, 2]
    assert reciprocal_rank_fusion([[], []]) == []
